/* See pipeline_file.h. The file is read as libyaml's document: nodes that refer to one another, so an alias costs
 * nothing. */
#include "pipeline_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define BYTES_MAX ((size_t)1 << 20)

void pipeline_file_fini(struct pipeline_file *self)
{
    for (size_t i = 0; i < self->n; i++) {
        struct pipeline_stage *stage = &self->stages[i];
        for (size_t j = 0; j < stage->n_inputs; j++) {
            free(stage->inputs[j]);
        }
        for (size_t j = 0; j < stage->n_params; j++) {
            free(stage->params[j].key);
            free(stage->params[j].text);
        }
        free(stage->name);
        free(stage->kind);
    }
    free(self->stages);
    free(self->name);
    *self = (struct pipeline_file){.name = NULL};
}

static const char *scalar(const yaml_node_t *node)
{
    return node != NULL && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

/* The value of a key of a map; NULL if there is none. */
static yaml_node_t *value_of(yaml_document_t *document, const yaml_node_t *map, const char *key)
{
    if (map == NULL || map->type != YAML_MAPPING_NODE) {
        return NULL;
    }
    for (yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < map->data.mapping.pairs.top; pair++) {
        const char *text = scalar(yaml_document_get_node(document, pair->key));
        if (text != NULL && strcmp(text, key) == 0) {
            return yaml_document_get_node(document, pair->value);
        }
    }
    return NULL;
}

static void add_input(struct pipeline_stage *stage, const yaml_node_t *node)
{
    const char *text = scalar(node);
    if (text != NULL && stage->n_inputs < PIPELINE_FILE_ITEMS_MAX) {
        stage->inputs[stage->n_inputs++] = strdup(text);
    }
}

static void read_inputs(struct pipeline_stage *stage, yaml_document_t *document, const yaml_node_t *node)
{
    if (node->type == YAML_SCALAR_NODE) {
        add_input(stage, node);
    } else if (node->type == YAML_SEQUENCE_NODE) {
        for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top;
             item++) {
            add_input(stage, yaml_document_get_node(document, *item));
        }
    }
}

/* A list such as [40, 40] as 40x40; otherwise the scalar. NULL if it is neither. */
static char *param_text(yaml_document_t *document, const yaml_node_t *node)
{
    if (node->type != YAML_SEQUENCE_NODE) {
        return scalar(node) == NULL ? NULL : strdup(scalar(node));
    }
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    for (yaml_node_item_t *item = node->data.sequence.items.start;
         out != NULL && item < node->data.sequence.items.top; item++) {
        const char *part = scalar(yaml_document_get_node(document, *item));
        fprintf(out, "%s%s", item == node->data.sequence.items.start ? "" : "x", part == NULL ? "?" : part);
    }
    if (out != NULL) {
        fclose(out);
    }
    return text;
}

static void read_stage(struct pipeline_stage *stage, yaml_document_t *document, const char *name,
                       const yaml_node_t *map)
{
    stage->name = strdup(name);
    for (yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < map->data.mapping.pairs.top; pair++) {
        const char *key = scalar(yaml_document_get_node(document, pair->key));
        const yaml_node_t *value = yaml_document_get_node(document, pair->value);
        if (key == NULL || value == NULL || strcmp(key, "tap") == 0) {
            continue;
        }
        char *text = NULL;
        if (strcmp(key, "in") == 0) {
            read_inputs(stage, document, value);
        } else if (strcmp(key, "stage") == 0 && stage->kind == NULL) {
            stage->kind = scalar(value) == NULL ? NULL : strdup(scalar(value));
        } else if (stage->n_params < PIPELINE_FILE_ITEMS_MAX &&
                   (text = param_text(document, value)) != NULL) {
            stage->params[stage->n_params].key = strdup(key);
            stage->params[stage->n_params++].text = text;
        }
    }
}

static int read_document(struct pipeline_file *self, yaml_document_t *document, const char *path)
{
    yaml_node_t *root = yaml_document_get_root_node(document), *stages = value_of(document, root, "stages");
    const char *name = scalar(value_of(document, root, "name"));
    if (stages == NULL || stages->type != YAML_MAPPING_NODE) {
        return error_set(LOOM_EDATA, "'%s' is no pipeline: it has no 'stages'", path);
    }
    self->name = strdup(name == NULL ? "" : name);
    self->stages = calloc(PIPELINE_FILE_STAGES_MAX, sizeof *self->stages);
    if (self->name == NULL || self->stages == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for '%s'", path);
    }
    for (yaml_node_pair_t *pair = stages->data.mapping.pairs.start; pair < stages->data.mapping.pairs.top;
         pair++) {
        const char *key = scalar(yaml_document_get_node(document, pair->key));
        const yaml_node_t *map = yaml_document_get_node(document, pair->value);
        if (key != NULL && map != NULL && map->type == YAML_MAPPING_NODE &&
            self->n < PIPELINE_FILE_STAGES_MAX) {
            read_stage(&self->stages[self->n++], document, key, map);
        }
    }
    return LOOM_OK;
}

int pipeline_file_parse(struct pipeline_file *self, const char *text, size_t n, const char *name)
{
    yaml_parser_t parser;
    yaml_document_t document;
    *self = (struct pipeline_file){.name = NULL};
    int status = error_set(LOOM_EDATA, "'%s' is not YAML", name);
    if (!yaml_parser_initialize(&parser)) {
        return status;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    if (yaml_parser_load(&parser, &document)) {
        status = read_document(self, &document, name);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    if (status < 0) {
        pipeline_file_fini(self);
    }
    return status;
}

int pipeline_file_read(struct pipeline_file *self, const char *path)
{
    *self = (struct pipeline_file){.name = NULL};
    FILE *file = fopen(path, "re");
    char *bytes = file == NULL ? NULL : malloc(BYTES_MAX);
    if (bytes == NULL) {
        const int why = errno;
        if (file != NULL) {
            fclose(file);
        }
        return error_set(LOOM_EIO, "'%s' cannot be read: %s", path, strerror(why));
    }
    const size_t n = fread(bytes, 1, BYTES_MAX, file);
    const int status = n < BYTES_MAX ? pipeline_file_parse(self, bytes, n, path)
                                     : error_set(LOOM_EDATA, "'%s' has more than 1 MiB", path);
    free(bytes);
    fclose(file);
    return status;
}

const struct pipeline_stage *pipeline_file_find(const struct pipeline_file *self, const char *name)
{
    for (size_t i = 0; i < self->n; i++) {
        if (self->stages[i].name != NULL && strcmp(self->stages[i].name, name) == 0) {
            return &self->stages[i];
        }
    }
    return NULL;
}

const char *pipeline_stage_param(const struct pipeline_stage *self, const char *key)
{
    for (size_t i = 0; self != NULL && i < self->n_params; i++) {
        if (self->params[i].key != NULL && strcmp(self->params[i].key, key) == 0) {
            return self->params[i].text;
        }
    }
    return NULL;
}

/* A whole number; the fallback if it is none. */
static size_t param_count(const struct pipeline_stage *stage, const char *key, size_t fallback)
{
    const char *text = pipeline_stage_param(stage, key);
    char *end = NULL;
    const unsigned long long value =
        text == NULL || *text < '0' || *text > '9' ? 0 : strtoull(text, &end, 10);
    return end != NULL && *end == '\0' ? (size_t)value : fallback;
}

bool pipeline_file_tapestry(const struct pipeline_file *self, const char *name,
                            struct tapestry_config *config)
{
    const struct pipeline_stage *stage = pipeline_file_find(self, name);
    *config = (struct tapestry_config){.path = pipeline_stage_param(stage, "tapestry"),
                                       .first = param_count(stage, "first", 0),
                                       .side = param_count(stage, "side", 30),
                                       .tile = param_count(stage, "tile", 0)};
    return config->path != NULL;
}

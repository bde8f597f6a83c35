/* See tapestry_lookup.h. */
#include "tapestry_lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* The value of a key of a map; NULL if there is none. */
static yaml_node_t *get(yaml_document_t *document, const yaml_node_t *map, const char *key)
{
    if (map == NULL || map->type != YAML_MAPPING_NODE) {
        return NULL;
    }
    for (const yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < map->data.mapping.pairs.top;
         pair++) {
        const yaml_node_t *name = yaml_document_get_node(document, pair->key);
        if (name != NULL && name->type == YAML_SCALAR_NODE &&
            strcmp((const char *)name->data.scalar.value, key) == 0) {
            return yaml_document_get_node(document, pair->value);
        }
    }
    return NULL;
}

static const char *get_text(yaml_document_t *document, const yaml_node_t *map, const char *key)
{
    const yaml_node_t *node = get(document, map, key);
    return node != NULL && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static size_t get_count(yaml_document_t *document, const yaml_node_t *map, const char *key, size_t fallback)
{
    const char *text = get_text(document, map, key);
    return text != NULL && *text >= '0' && *text <= '9' ? strtoull(text, NULL, 10) : fallback;
}

static bool read_stage(struct tapestry_place *place, yaml_document_t *document, const yaml_node_t *stage)
{
    const char *kind = get_text(document, stage, "stage"), *path = get_text(document, stage, "tapestry");
    if (kind == NULL || strcmp(kind, "generate") != 0 || path == NULL || strlen(path) >= sizeof place->path) {
        return false;
    }
    snprintf(place->path, sizeof place->path, "%s", path);
    place->config = (struct tapestry_config){.path = place->path,
                                             .first = get_count(document, stage, "first", 0),
                                             .side = get_count(document, stage, "side", 30),
                                             .tile = get_count(document, stage, "tile", 0)};
    return true;
}

bool tapestry_lookup(struct tapestry_place *place, const char *pipeline, const char *name)
{
    yaml_parser_t parser;
    yaml_document_t document;
    if (!yaml_parser_initialize(&parser)) {
        return false;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)pipeline, strlen(pipeline));
    bool found = false;
    if (yaml_parser_load(&parser, &document)) {
        const yaml_node_t *stages = get(&document, yaml_document_get_root_node(&document), "stages");
        found = read_stage(place, &document, get(&document, stages, name));
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return found;
}

/* See yaml_tree.h. */
#include "yaml_tree.h"

#include <string.h>
#include <yaml.h>

struct builder {
    struct arena *arena;
    struct diagnostics *diagnostics;
    struct place source;                    /* of the whole text */
    struct node *open[YAML_TREE_DEPTH_MAX]; /* lists and maps not yet closed, outermost first */
    struct node *key[YAML_TREE_DEPTH_MAX];  /* of a map: the key that waits for its value, or NULL */
    size_t depth, nodes;
    struct node *root;
    bool ended; /* the text was followed to its end */
};

static struct place place_at(const struct builder *self, yaml_mark_t mark)
{
    struct place place = self->source;
    if (place.argument == 0) {
        place.line = mark.line + 1;
        place.column = mark.column + 1;
    }
    return place;
}

struct node *yaml_tree_get(const struct node *map, const char *key)
{
    if (!map || map->kind != NODE_MAP) {
        return NULL;
    }
    for (size_t i = 0; i < map->n; i++) {
        if (strcmp(map->keys[i]->text, key) == 0) {
            return map->items[i];
        }
    }
    return NULL;
}

const char *yaml_tree_text(const struct node *map, const char *key)
{
    const struct node *value = yaml_tree_get(map, key);
    if (!value || value->kind != NODE_SCALAR) {
        return NULL;
    }
    if (value->plain &&
        (!*value->text || strcmp(value->text, "null") == 0 || strcmp(value->text, "~") == 0)) {
        return NULL;
    }
    return value->text;
}

struct node *yaml_tree_scalar(struct arena *arena, struct place place, const char *text)
{
    struct node *node = arena_alloc(arena, sizeof *node);
    node->kind = NODE_SCALAR;
    node->place = place;
    node->plain = true;
    node->text = arena_copy(arena, text);
    return node;
}

static void push_pair(struct arena *arena, struct node *map, struct node *key, struct node *value)
{
    map->keys = arena_grow(arena, map->keys, map->n, sizeof *map->keys);
    map->items = arena_grow(arena, map->items, map->n, sizeof *map->items);
    map->keys[map->n] = key;
    map->items[map->n++] = value;
}

void yaml_tree_set(struct arena *arena, struct node *map, struct node *key, struct node *value)
{
    for (size_t i = 0; i < map->n; i++) {
        if (strcmp(map->keys[i]->text, key->text) == 0) {
            map->keys[i] = key;
            map->items[i] = value;
            return;
        }
    }
    push_pair(arena, map, key, value);
}

/* A key has come: scalars only, each once. A refused key keeps its place in the reading but not in the map.
 */
static void take_key(struct builder *self, struct node *map, struct node *node)
{
    self->key[self->depth - 1] = node;
    if (node->kind != NODE_SCALAR) {
        diagnostics_error(self->diagnostics, node->place, "a key must be a single word");
        return;
    }
    for (size_t i = 0; i < map->n; i++) {
        if (strcmp(map->keys[i]->text, node->text) == 0) {
            diagnostics_error(self->diagnostics, node->place, "duplicate key '%.64s', first used in line %zu",
                              node->text, map->keys[i]->place.line);
        }
    }
}

/* Put a new node where it belongs. */
static void attach(struct builder *self, struct node *node)
{
    struct node *parent = self->depth ? self->open[self->depth - 1] : NULL;
    if (!parent) {
        self->root = node;
        return;
    }
    struct node **key = &self->key[self->depth - 1];
    if (parent->kind == NODE_LIST) {
        parent->items = arena_grow(self->arena, parent->items, parent->n, sizeof *parent->items);
        parent->items[parent->n++] = node;
    } else if (!*key) {
        take_key(self, parent, node);
    } else {
        if ((*key)->kind == NODE_SCALAR && !yaml_tree_get(parent, (*key)->text)) {
            push_pair(self->arena, parent, *key, node);
        }
        *key = NULL;
    }
}

static int refuse(struct builder *self, yaml_mark_t mark, const char *why)
{
    diagnostics_error(self->diagnostics, place_at(self, mark), "%s", why);
    return -1;
}

/* A node of this event's kind, attached; lists and maps are opened. */
static int add_node(struct builder *self, const yaml_event_t *event, enum node_kind kind,
                    const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (++self->nodes > YAML_TREE_NODES_MAX) {
        return refuse(self, event->start_mark, "too much in one file");
    }
    if (anchor || event->type == YAML_ALIAS_EVENT) {
        diagnostics_error(self->diagnostics, place_at(self, event->start_mark),
                          "anchors and aliases are not allowed here: write the value out");
    }
    if (tag && !(kind == NODE_SCALAR && event->data.scalar.quoted_implicit)) {
        diagnostics_error(self->diagnostics, place_at(self, event->start_mark), "tags are not allowed here");
    }
    if (kind != NODE_SCALAR && self->depth == YAML_TREE_DEPTH_MAX) {
        return refuse(self, event->start_mark, "lists and maps are nested too deeply");
    }

    struct node *node = arena_alloc(self->arena, sizeof *node);
    node->kind = kind;
    node->place = place_at(self, event->start_mark);
    node->text = "";
    if (event->type == YAML_SCALAR_EVENT) {
        const char *text = (const char *)event->data.scalar.value;
        node->text = arena_copy_n(self->arena, text, event->data.scalar.length);
        node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        if (strlen(node->text) != event->data.scalar.length) {
            return refuse(self, event->start_mark, "a NUL character has no place in a text");
        }
    }
    attach(self, node);
    if (kind != NODE_SCALAR) {
        self->key[self->depth] = NULL;
        self->open[self->depth++] = node;
    }
    return 0;
}

static int take_event(struct builder *self, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return self->root ? refuse(self, event->start_mark, "only one document belongs in a file") : 0;
    case YAML_ALIAS_EVENT:
        return add_node(self, event, NODE_SCALAR, NULL, NULL);
    case YAML_SCALAR_EVENT:
        return add_node(self, event, NODE_SCALAR, event->data.scalar.anchor, event->data.scalar.tag);
    case YAML_SEQUENCE_START_EVENT:
        return add_node(self, event, NODE_LIST, event->data.sequence_start.anchor,
                        event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return add_node(self, event, NODE_MAP, event->data.mapping_start.anchor,
                        event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        self->depth--;
        return 0;
    case YAML_STREAM_END_EVENT:
        self->ended = true;
        return 0;
    default:
        return 0;
    }
}

/* Say what libyaml did not like. Errors in the encoding come with a byte offset instead of a mark. */
static void report_syntax(struct builder *self, const yaml_parser_t *parser, const char *bytes, size_t n)
{
    yaml_mark_t mark = parser->problem_mark;
    const char *problem = parser->problem ? parser->problem : "cannot be read";
    if (parser->error == YAML_READER_ERROR) {
        mark = (yaml_mark_t){0};
        for (size_t i = 0; i < parser->problem_offset && i < n; i++) {
            mark.column = bytes[i] == '\n' ? 0 : mark.column + 1;
            mark.line += bytes[i] == '\n';
        }
    }
    if (parser->context && parser->error != YAML_READER_ERROR) {
        diagnostics_error(self->diagnostics, place_at(self, mark), "not valid YAML: %s (%s)", problem,
                          parser->context);
    } else {
        diagnostics_error(self->diagnostics, place_at(self, mark), "not valid YAML: %s", problem);
    }
}

struct node *yaml_tree_parse(struct arena *arena, struct diagnostics *diagnostics, struct place source,
                             const char *bytes, size_t n)
{
    struct builder self = {.arena = arena, .diagnostics = diagnostics, .source = source};
    if (n > YAML_TREE_BYTES_MAX) {
        diagnostics_error(diagnostics, source, "larger than %zu bytes: not a file for Loom",
                          YAML_TREE_BYTES_MAX);
        return NULL;
    }
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        diagnostics_error(diagnostics, source, "out of memory");
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, n);
    int status = 0;
    while (!self.ended && status == 0) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            report_syntax(&self, &parser, bytes, n);
            break;
        }
        status = take_event(&self, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (self.ended && !self.root) {
        diagnostics_error(diagnostics, source, "empty");
    }
    return self.ended ? self.root : NULL;
}

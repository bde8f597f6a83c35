/* YAML (and so JSON) as a tree of nodes that know where they were written.
 *
 * Read with libyaml's event parser into an arena. Deliberately less than YAML: one document, no anchors,
 * aliases or tags (a pipeline has no use for them, and they are how small files become huge ones), bounded
 * depth and size. Everything that is wrong is added to the diagnostics; reading goes on where it can. */
#ifndef LOOM_TOOLS_YAML_TREE_H
#define LOOM_TOOLS_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "diagnostics.h"
#include "memory.h"

#define YAML_TREE_BYTES_MAX ((size_t)1 << 20)
#define YAML_TREE_DEPTH_MAX 16
#define YAML_TREE_NODES_MAX 20000

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
    enum node_kind kind;
    struct place place;
    const char *text;    /* scalar: its text, never NULL */
    bool plain;          /* scalar: written without quotes */
    struct node **keys;  /* map: n scalars */
    struct node **items; /* list: n nodes; map: n values, in the order of the file */
    size_t n;
};

/* Parse n bytes. `source` names them in the diagnostics. Returns the root, or NULL if there is none or the
 * text cannot be followed to its end (then at least one error was added; an empty text is an error too). */
struct node *yaml_tree_parse(struct arena *arena, struct diagnostics *diagnostics, struct place source,
                             const char *bytes, size_t n);

/* A plain scalar made by hand. */
struct node *yaml_tree_scalar(struct arena *arena, struct place place, const char *text);

/* The value of a key in a map, or NULL; NULL also if `map` is NULL or no map. */
struct node *yaml_tree_get(const struct node *map, const char *key);

/* Its text if that value is a scalar, otherwise NULL; JSON's null (plain null, ~ or nothing) is NULL too. */
const char *yaml_tree_text(const struct node *map, const char *key);

/* Set a key of a map: replaces the value, or adds the pair at the end. */
void yaml_tree_set(struct arena *arena, struct node *map, struct node *key, struct node *value);

#endif

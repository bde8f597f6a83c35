/* Fuzz target: the reader of pipelines and of stages' lines (tools/loom/yaml_tree.h, event.h) on arbitrary
 * bytes. Nothing may be read beyond the text, leaked, or take long. */
#include <stdint.h>

#include "event.h"
#include "yaml_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct diagnostics diagnostics = {.arena = &arena};
    struct place place = {.source = "fuzz"};
    struct event event;
    const struct node *root = yaml_tree_parse(&arena, &diagnostics, place, (const char *)data, size);
    yaml_tree_text(root, "name");
    event_parse(&event, &arena, "fuzz", arena_copy_n(&arena, (const char *)data, size));
    arena_fini(&arena);
    return 0;
}

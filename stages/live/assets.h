/* The files of the page as they are sent. */
#ifndef LOOM_STAGES_LIVE_ASSETS_H
#define LOOM_STAGES_LIVE_ASSETS_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct asset {
    const char *name, *type; /* without a folder; Content-Type */
    uint8_t *data;
    size_t bytes;
    char etag[20];
};

/* All files of the page, page_files_n of them (page.h). Where one names another in quotes, the token is put behind that
 * name as a query; "": nothing is. The caller owns *assets. */
int assets_new(struct asset **assets, const char *token) LOOM_MUST_CHECK;
void assets_destroy(struct asset **assets);

/* The file at a path of n bytes, / being index.html; NULL: there is none. */
const struct asset *assets_find(const struct asset *assets, const char *path, size_t n);

#endif

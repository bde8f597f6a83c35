/* The files of the page (stages/live/page/), as they are in the program: page_embed.cmake writes the table. */
#ifndef LOOM_STAGES_LIVE_PAGE_H
#define LOOM_STAGES_LIVE_PAGE_H

#include <stddef.h>

struct page_file {
    const char *name; /* without a folder */
    const unsigned char *data;
    size_t bytes;
};

extern const struct page_file page_files[];
extern const size_t page_files_n;

#endif

/* The pictures of a layer (see render.c for what each shows), drawn into a folder. */
#ifndef LOOM_STAGES_RENDER_GALLERY_H
#define LOOM_STAGES_RENDER_GALLERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "draw.h"
#include "shown.h"
#include "text.h"

#define GALLERY_MOMENT_BYTES 200

/* The pictures of a layer. */
enum gallery_picture {
    GALLERY_WEIGHTS = 1,
    GALLERY_PLAIN = 2,      /* the weights without margin and letters */
    GALLERY_PROTOTYPES = 4, /* of an invariant layer, like those that follow */
    GALLERY_COVERAGE = 8,
    GALLERY_LEAST = 16, /* the sparse unit that is covered least */
    GALLERY_MOST = 32,
};

struct gallery {
    const char *folder; /* to draw into, as NAME-....png; borrowed */
    const char *path;   /* of the one picture to be drawn; NULL: those in `folder`; borrowed */
    unsigned only;      /* enum gallery_picture, added up; 0: all */
    const char *run;    /* name of the run, for the titles; NULL: not known; borrowed */
    size_t colours;     /* index in colours_names */
    bool per_unit;      /* weights and prototypes: each unit's colours go up to its own largest number */
    bool plain;         /* no margin, title and colour bar, whatever is drawn */
    size_t scale;       /* pixels a weight; 0: as draw.h chooses */
    bool scale_all;  /* `scale` is that of coverage and single units, too; else they are as large as usual */
    bool separators; /* lines between units */
    bool keep;       /* do not overwrite files */
    FILE *list;      /* the path of every picture made goes here, a line each; NULL: nowhere; borrowed */
    bool final;      /* nothing is learning any more: what takes minutes is drawn too */
    struct text *text; /* NULL: no letters; owned */
    size_t drawn;      /* pictures made */
    bool silent;       /* failures are not logged: the caller says why */
    size_t failures;   /* pictures that could not be made */
    int failure;       /* why the last of them could not */
    char *why;         /* its message; owned */
};

void gallery_fini(struct gallery *self);

/* Draw all there is to draw (or `only`) of a layer. Prototypes that would take too long are left out, which is a
 * failure only if nothing else is wanted. sparse: the layer below it, NULL if there is none or it is not known.
 * A picture that cannot be made is remembered, the first one logged, and the others are drawn. */
void gallery_draw(struct gallery *self, const struct shown *layer, const struct shown *sparse);

/* Draw one unit of a layer: NAME-unit-NUMBER.png. LOOM_EUSAGE if there is no such unit. */
int gallery_draw_unit(struct gallery *self, const struct shown *layer, size_t unit) LOOM_MUST_CHECK;

/* LOOM_EUSAGE if there is something at `path` and it must not be overwritten. */
int gallery_check(const struct gallery *self, const char *path) LOOM_MUST_CHECK;

/* Write a picture to FOLDER/NAME SUFFIX.png, or to `path`; status: whether it could be drawn. A failure is
 * remembered. Empties the image. */
void gallery_write(struct gallery *self, int status, struct image *image, const char *name,
                   const char *suffix, const char *title);

/* "run topo, pass 20, frame 200,000", as far as it is known. */
void gallery_moment(char text[GALLERY_MOMENT_BYTES], const char *run, uint64_t pass, uint64_t frames);

/* The same of a layer; of a checkpoint, which may be in the midst of a pass, "frame 3,456, a checkpoint after pass 3". */
void gallery_moment_of(char text[GALLERY_MOMENT_BYTES], const char *run, const struct shown *layer);

/* 200000 as 200,000. */
void gallery_count(char text[32], uint64_t count);

/* Remember error_message(), and log it, unless silent, if it is the first: a full disk concerns every picture. */
void gallery_note_failure(struct gallery *self, int status);

#endif

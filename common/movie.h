/* Moving pictures, written frame by frame in bounded memory, however many there are:
 *
 * APNG   a PNG that moves, in every browser (PNG, third edition, W3C 2025: chunks acTL, fcTL, fdAT): lossless, grey, 256
 *        colours or RGB. Of a frame only the rectangle that has changed is kept. How many frames there are is
 *        written into the file at its end. A viewer that knows no APNG shows the first frame.
 * Y4M    YUV4MPEG2, which ffmpeg, mpv and x264 read, also through a pipe: uncompressed, full range; grey (Cmono) or
 *        colour (C444, matrix of BT.601).
 *
 * A file is there whole or not at all (durable_file.h). */
#ifndef LOOM_COMMON_MOVIE_H
#define LOOM_COMMON_MOVIE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "image.h"

enum movie_form { MOVIE_APNG, MOVIE_Y4M };

struct movie;

/* Begin a file, or (path NULL; not APNG) standard output. rate: frames a second, 0.01 to 1000. palette: 256 colours
 * 0xRRGGBB for pictures of one channel, borrowed until the end; NULL: these are grey. LOOM_EIO if the file cannot be
 * written, LOOM_EUSAGE for APNG on standard output. */
int movie_new(struct movie **self_p, const char *path, enum movie_form form, double rate,
              const uint32_t *palette) LOOM_MUST_CHECK;

/* Append a frame; all are of the first one's size and channels. title of the first goes into an APNG as text (may be
 * NULL). LOOM_EIO if it cannot be written. */
int movie_add(struct movie *self, const struct image *image, const char *title) LOOM_MUST_CHECK;

/* Make it whole and put it in its place; frees and nulls on success. LOOM_EDATA if it has no frame. */
int movie_finish(struct movie **self_p) LOOM_MUST_CHECK;

/* Forget it, remove what was written, free, null; harmless on NULL. */
void movie_destroy(struct movie **self_p);

#endif

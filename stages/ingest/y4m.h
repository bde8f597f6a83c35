/* The headers of YUV4MPEG2 (y4m), the format of uncompressed video that mjpegtools defined and ffmpeg, mpv
 * and x264 speak: one line for the stream, "YUV4MPEG2 W640 H480 F25:1 C420jpeg\n", and one before every
 * picture, "FRAME\n". A picture is its luma plane, row by row, and then the planes of colour. Of 8 bits only.
 * Source: yuv4mpeg(5). */
#ifndef LOOM_STAGES_Y4M_H
#define LOOM_STAGES_Y4M_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define Y4M_LINE_MAX 1024 /* bytes of a header line, with its end */

struct y4m {
    size_t width, height; /* of the luma plane */
    size_t chroma_bytes;  /* that follow it in every picture */
};

/* Understand the header of a stream at the start of `bytes`. *used: its length, 0 if it has not all come yet.
 * LOOM_EDATA if it is none, claims pictures that cannot be, is longer than Y4M_LINE_MAX, or has more than 8
 * bits. */
int y4m_read_header(const uint8_t *bytes, size_t n, struct y4m *header, size_t *used) LOOM_MUST_CHECK;

/* Pass over the header of a picture; *used and errors as above. */
int y4m_read_frame(const uint8_t *bytes, size_t n, size_t *used) LOOM_MUST_CHECK;

#endif

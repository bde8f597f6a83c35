/* libFuzzer target: what strangers feed to the sources, headers of y4m and .npy and messages with frames.
 * Nothing may be read beyond the bytes, and what they promise must be there. The first byte chooses which. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "stages/images/npy_read.h"
#include "stages/ingest/receiver.h"
#include "stages/ingest/y4m.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int condition)
{
    if (!condition) {
        abort();
    }
}

static void try_y4m(const uint8_t *bytes, size_t n)
{
    struct y4m header;
    size_t used = 0, frame = 0;
    if (y4m_read_header(bytes, n, &header, &used) == 0) {
        expect(used <= n && used <= Y4M_LINE_MAX);
        expect(used > 0 || n < Y4M_LINE_MAX);
        expect(used == 0 || (header.width >= 1 && header.height >= 1 && header.width <= 65535));
        expect(header.chroma_bytes <=
               3 * header.width * header.height + 2 * header.height + 2 * header.width + 2);
    } else {
        used = 0;
    }
    if (y4m_read_frame(bytes + used, n - used, &frame) == 0) {
        expect(frame <= n - used && frame <= Y4M_LINE_MAX);
    }
}

static void try_npy(const uint8_t *bytes, size_t n)
{
    struct npy_header header;
    if (npy_read_header(&header, bytes, n) == 0) {
        expect(header.bytes <= n && header.rank <= NPY_RANK_MAX);
        expect(memchr(header.dtype, '\0', sizeof header.dtype) != NULL);
    }
}

static void try_message(const uint8_t *bytes, size_t n, enum stream_dtype dtype)
{
    struct spool_shape shape = {2, 3, dtype};
    struct frames_message message;
    if (frames_message_read(&message, bytes, n, &shape) == 0 && message.n > 0) {
        volatile uint8_t sink = message.data[message.n * 6 * (dtype == STREAM_U1 ? 1 : 4) - 1];
        (void)sink;
        expect(message.data >= bytes && message.data < bytes + n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint8_t *bytes =
        malloc(size > 1 ? size - 1 : 1); /* of exactly this size, so that a step beyond is seen */
    if (bytes == NULL) {
        return 0;
    }
    memcpy(bytes, data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        try_y4m(bytes, size - 1);
        break;
    case 1:
        try_npy(bytes, size - 1);
        break;
    default:
        try_message(bytes, size - 1, data[0] % 4 == 2 ? STREAM_U1 : STREAM_F4);
    }
    free(bytes);
    return 0;
}

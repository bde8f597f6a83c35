/* libFuzzer target: whatever bytes a peer sends, the message reader stays within them. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct message message;
    const uint8_t *rows[STREAM_FIELDS_MAX];
    if (message_read(&message, bytes, size) < 0) {
        return 0;
    }
    struct stream_info info = message.info;
    if (message.type != MESSAGE_STREAM) {
        info = (struct stream_info){
            .name = "fuzz", .kind = STREAM_CODES, .winners = 4, .grid_x = 8, .grid_y = 8};
    }
    if (message_rows(&message, &info, rows) == 0 &&
        message.n > 0) { /* every row that it promises can be read */
        struct stream_field fields[STREAM_FIELDS_MAX];
        size_t n_fields = stream_fields(&info, fields);
        volatile uint8_t sink = 0;
        for (size_t f = 0; f < n_fields; f++) {
            sink = rows[f][0];
            sink = rows[f][message.n * fields[f].row_bytes - 1];
        }
        (void)sink;
    }
    return 0;
}

/* libFuzzer target: what the live page's server reads from strangers, messages of a page and the state of a run. What is taken
 * from them must be within its bounds, and a state that was read must be written as one that reads the same. The first
 * byte chooses which. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "stages/live/ask.h"
#include "stages/live/exposition.h"
#include "stages/live/guard.h"
#include "stages/live/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int condition)
{
    if (!condition) {
        abort();
    }
}

static void try_ask(const char *bytes, size_t n)
{
    struct ask ask;
    if (ask_read(&ask, bytes, n) != 0) {
        return;
    }
    expect(n <= ASK_BYTES_MAX && memchr(ask.name, '\0', sizeof ask.name) != NULL);
    expect(ask.type != ASK_WANT || (ask.clip_ms >= ASK_CLIP_MS_MIN && ask.clip_ms <= ASK_CLIP_MS_MAX));
    expect(ask.type != ASK_SEEK || (ask.n >= 1 && ask.n <= ASK_FRAMES_MAX && ask.seq <= (uint64_t)1 << 53));
}

static void try_status(const char *bytes, size_t n)
{
    struct run_status status, again;
    char *text = NULL;
    size_t length = 0;
    if (status_read(&status, bytes, n) != 0) {
        expect(status.n == 0 && status.stages == NULL);
        return;
    }
    FILE *out = open_memstream(&text, &length);
    expect(out != NULL);
    status_write(&status, out);
    fflush(out);
    expect(status_read(&again, text, length) == 0 && again.n == status.n);
    exposition_write_status(out, &status);
    fclose(out);
    free(text);
    status_fini(&again);
    status_fini(&status);
}

static void try_guard(const char *bytes, size_t n)
{
    struct guard guard;
    char text[512];
    snprintf(text, sizeof text, "%.*s", (int)(n < sizeof text ? n : sizeof text - 1), bytes);
    expect(guard_init(&guard, "127.0.0.1:8090", "token") == 0);
    expect(!guard_admits_token(&guard, text) || strcmp(text, "token") == 0);
    guard_admits_origin(&guard, text, "127.0.0.1:8090");
    if (guard_admits_host(&guard, text)) { /* nothing that a name server could have been asked for */
        const size_t host = strcspn(text, text[0] == '[' ? "]" : ":");
        expect(strncasecmp(text, "localhost", host) == 0 || strspn(text, "0123456789.") >= host ||
               text[0] == '[');
    }
    expect(guard_init(&guard, text, "") != 0 || (guard.at.port >= 0 && guard.at.port <= 65535));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    char *bytes = malloc(size > 1 ? size - 1 : 1); /* of exactly this size, so that a step beyond is seen */
    if (bytes == NULL) {
        return 0;
    }
    memcpy(bytes, data + 1, size - 1);
    if (data[0] % 3 == 0) {
        try_ask(bytes, size - 1);
    } else if (data[0] % 3 == 1) {
        try_status(bytes, size - 1);
    } else {
        try_guard(bytes, size - 1);
    }
    free(bytes);
    return 0;
}

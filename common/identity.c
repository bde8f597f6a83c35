/* See identity.h. XXH3, 128 bits: fast, and no defence against somebody who wants two streams to look alike.
 */
#include "identity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Texts go in with their NUL, so that "ab" + "c" differs from "a" + "bc". */
static void add_text(XXH3_state_t *hash, const char *text)
{
    XXH3_128bits_update(hash, text, strlen(text) + 1);
}

static int add_file(XXH3_state_t *hash, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return error_set(LOOM_EIO, "cannot read '%s': %s", path, strerror(errno));
    }
    static char buffer[1 << 16];
    size_t n = 0;
    while ((n = fread(buffer, 1, sizeof buffer, file)) > 0) {
        XXH3_128bits_update(hash, buffer, n);
    }
    int status = ferror(file) ? error_set(LOOM_EIO, "cannot read '%s': %s", path, strerror(errno)) : 0;
    fclose(file);
    return status;
}

static int add_param(XXH3_state_t *hash, const struct param *param, const void *fields)
{
    char text[4096];
    params_format(param, fields, text, sizeof text);
    add_text(hash, param->name);
    if (param->type == PARAM_PATH && text[0] != '\0') {
        return add_file(hash, text);
    }
    add_text(hash, text);
    return 0;
}

static void write_digest(char id[STREAM_ID_BYTES], XXH128_hash_t digest)
{
    snprintf(id, STREAM_ID_BYTES, "%016" PRIx64 "%016" PRIx64, (uint64_t)digest.high64,
             (uint64_t)digest.low64);
}

void identity_of_bytes(char id[STREAM_ID_BYTES], const void *bytes, size_t n)
{
    write_digest(id, XXH3_128bits(bytes, n));
}

int identity_hash(char id[STREAM_ID_BYTES], const char *stage, const char *body, const struct param *table,
                  const void *fields, const struct stream_info *inputs, size_t n_inputs)
{
    XXH3_state_t *hash = XXH3_createState();
    if (hash == NULL || XXH3_128bits_reset(hash) == XXH_ERROR) {
        XXH3_freeState(hash);
        return error_set(LOOM_EINTERNAL, "out of memory for a stream's id");
    }
    add_text(hash, "loom stream 1");
    add_text(hash, stage);
    char computed[STREAM_NAME_BYTES];
    snprintf(computed, sizeof computed, "%.*s", (int)strcspn(body, "-"), body);
    add_text(hash, computed);
    int status = 0;
    for (const struct param *param = table; status == 0 && param != NULL && param->name != NULL; param++) {
        if ((param->flags & PARAM_LOCAL) == 0) {
            status = add_param(hash, param, fields);
        }
    }
    for (size_t i = 0; i < n_inputs; i++) {
        add_text(hash, inputs[i].id);
    }
    write_digest(id, XXH3_128bits_digest(hash));
    XXH3_freeState(hash);
    return status;
}

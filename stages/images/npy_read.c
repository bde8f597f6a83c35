/* See npy_read.h and array.h. The header is a Python dictionary as text:
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (1000, 20, 20), }
 * padded with spaces and ended by a line feed. */
#include "npy_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "array.h"

static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

/* ---- the header ---- */

struct cursor {
    const uint8_t *at, *end;
};

static void skip_spaces(struct cursor *self)
{
    while (self->at < self->end && (*self->at == ' ' || *self->at == '\n')) {
        self->at++;
    }
}

/* Pass over spaces and then this text; false if something else stands there. */
static bool take(struct cursor *self, const char *text)
{
    size_t length = strlen(text);
    skip_spaces(self);
    if ((size_t)(self->end - self->at) < length || memcmp(self->at, text, length) != 0) {
        return false;
    }
    self->at += length;
    return true;
}

/* A text in single quotes, without any quotes or backslashes in it. */
static bool take_text(struct cursor *self, char *text, size_t size)
{
    size_t n = 0;
    if (!take(self, "'")) {
        return false;
    }
    while (self->at < self->end && *self->at != '\'') {
        if (n + 1 >= size || *self->at < ' ' || *self->at > '~' || *self->at == '\\') {
            return false;
        }
        text[n++] = (char)*self->at++;
    }
    text[n] = '\0';
    return take(self, "'");
}

static bool take_number(struct cursor *self, uint64_t *number)
{
    skip_spaces(self);
    const uint8_t *start = self->at;
    *number = 0;
    for (; self->at < self->end && *self->at >= '0' && *self->at <= '9'; self->at++) {
        if (*number > (UINT64_MAX - 9) / 10) {
            return false;
        }
        *number = *number * 10 + (uint64_t)(*self->at - '0');
    }
    return self->at > start;
}

/* (3, 20, 20), (3,) or (). */
static bool take_shape(struct cursor *self, struct npy_header *header)
{
    bool more = take(self, "(");
    header->rank = 0;
    while (!take(self, ")")) {
        if (!more || header->rank == NPY_RANK_MAX || !take_number(self, &header->dims[header->rank++])) {
            return false;
        }
        more = take(self, ",");
    }
    return more || header->rank > 1; /* (3) is no tuple */
}

/* One key and its value; *seen: bits of the keys so far. */
static bool take_pair(struct cursor *self, struct npy_header *header, unsigned *seen)
{
    char key[16];
    if (!take_text(self, key, sizeof key) || !take(self, ":")) {
        return false;
    }
    unsigned bit = strcmp(key, "descr") == 0 ? 1 : strcmp(key, "fortran_order") == 0 ? 2 : 4;
    if ((*seen & bit) != 0 || (bit == 4 && strcmp(key, "shape") != 0)) {
        return false;
    }
    *seen |= bit;
    if (bit == 1) {
        return take_text(self, header->dtype, sizeof header->dtype);
    }
    if (bit == 4) {
        return take_shape(self, header);
    }
    header->fortran_order = take(self, "True");
    return header->fortran_order || take(self, "False");
}

static bool take_dictionary(struct cursor *self, struct npy_header *header)
{
    unsigned seen = 0;
    bool more = take(self, "{");
    while (!take(self, "}")) {
        if (!more || !take_pair(self, header, &seen)) {
            return false;
        }
        more = take(self, ",");
    }
    skip_spaces(self);
    return seen == 7 && self->at == self->end && self->end[-1] == '\n';
}

int npy_read_header(struct npy_header *header, const uint8_t *bytes, size_t n)
{
    *header = (struct npy_header){.rank = 0};
    if (n < 12 || memcmp(bytes, magic, sizeof magic) != 0) {
        return error_set(LOOM_EDATA, "it is no .npy file; write one with numpy.save");
    }
    if (bytes[6] < 1 || bytes[6] > 3) {
        return error_set(LOOM_EDATA, "it is a .npy file of version %u, and only 1 to 3 are known", bytes[6]);
    }
    bool narrow = bytes[6] == 1;
    size_t start = narrow ? 10 : 12;
    size_t length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    length |= narrow ? 0 : (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (length > NPY_HEADER_MAX - start || length > n - start || length == 0) {
        return error_set(LOOM_EDATA, "its .npy header of %zu bytes is cut off or longer than %d", length,
                         NPY_HEADER_MAX);
    }
    struct cursor cursor = {bytes + start, bytes + start + length};
    header->bytes = start + length;
    return take_dictionary(&cursor, header)
               ? 0
               : error_set(LOOM_EDATA,
                           "its .npy header is not that of an array of numbers; write it with numpy.save");
}

/* ---- the file ---- */

static int choose_element(struct array *self, const struct npy_header *header)
{
    static const char *const names[] = {"|u1", "<f4", "<f8"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(header->dtype, names[i]) == 0) {
            self->element = (enum element)i;
            return 0;
        }
    }
    bool whole = header->dtype[0] != '\0' && (header->dtype[1] == 'i' || header->dtype[1] == 'u');
    return error_set(LOOM_EDATA,
                     "its values are of type '%s'; u1 (grey value / 255), f4 and f8 (0 to 1) are accepted: "
                     "numpy.save(file, a.astype('%s')), with values from 0 to %s",
                     header->dtype, whole ? "u1" : "f4", whole ? "255" : "1");
}

/* n, height and width from the dimensions and `shape`. */
static int choose_shape(struct array *self, const struct npy_header *header, struct grid shape)
{
    uint64_t height = (uint64_t)shape.x, width = (uint64_t)shape.y;
    const uint64_t *dims = header->dims;
    if (header->rank != 3 && header->rank != 2) {
        return error_set(LOOM_EDATA, "it has %zu dimensions; n x height x width, or n x pixels, are needed",
                         header->rank);
    }
    if (header->rank == 2 && (height == 0 || dims[1] != height * width)) {
        return error_set(
            LOOM_EDATA,
            "its pictures are rows of %ju pixels; give shape as HEIGHTxWIDTH with as many, to tell how "
            "they lie",
            (uintmax_t)dims[1]);
    }
    if (header->rank == 3 && height != 0 && (dims[1] != height || dims[2] != width)) {
        return error_set(LOOM_EDATA, "its pictures are %ju x %ju, but shape is %jux%ju; correct one of them",
                         (uintmax_t)dims[1], (uintmax_t)dims[2], (uintmax_t)height, (uintmax_t)width);
    }
    self->n = dims[0];
    self->height = header->rank == 3 ? dims[1] : height;
    self->width = header->rank == 3 ? dims[2] : width;
    if (self->n == 0 || self->height == 0 || self->width == 0) {
        return error_set(LOOM_EDATA, "it is empty: %ju pictures of %zu x %zu", (uintmax_t)self->n,
                         self->height, self->width);
    }
    return 0;
}

/* Whether the file has exactly the bytes that the header promises. */
static int check_size(const struct array *self, const struct npy_header *header, uint64_t bytes)
{
    uint64_t left = bytes - header->bytes, unit = array_element_bytes(self->element);
    uint64_t values = left / unit / self->n / self->height / self->width;
    bool exact = values == 1 && left == self->n * self->height * self->width * unit;
    return exact ? 0
                 : error_set(
                       LOOM_EDATA,
                       "it has %ju bytes behind its header, but %zu pictures of %zu x %zu %s; write it again",
                       (uintmax_t)left, self->n, self->height, self->width, header->dtype + 1);
}

int array_map_npy(struct array *self, const char *path, struct grid shape)
{
    struct npy_header header;
    struct stat about;
    *self = (struct array){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) != 0) {
        int status = error_set(LOOM_EIO, "cannot read %s: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return status;
    }
    self->mapped_bytes = (size_t)about.st_size;
    void *mapped = about.st_size == 0 ? NULL : mmap(NULL, self->mapped_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED) {
        self->mapped_bytes = 0;
        return error_set(LOOM_EIO, "cannot map %s into memory: %s", path, strerror(errno));
    }
    self->mapped = mapped;
    int status = npy_read_header(&header, mapped, self->mapped_bytes);
    if (status == 0) {
        status = choose_element(self, &header);
    }
    if (status == 0 && header.fortran_order) {
        status = error_set(LOOM_EDATA,
                           "it is in Fortran order; numpy.save(file, numpy.ascontiguousarray(a)) mends that");
    }
    if (status == 0) {
        status = choose_shape(self, &header, shape);
    }
    if (status == 0) {
        status = check_size(self, &header, self->mapped_bytes);
    }
    if (status < 0) {
        array_fini(self);
        return error_prefix(status, "%s", path);
    }
    self->data = (const uint8_t *)mapped + header.bytes;
    return 0;
}

/* A folder of PNGs; see array.h. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "array.h"
#include "image.h"

#define BYTES_MAX ((size_t)4 << 30)

static int is_png(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return entry->d_name[0] != '.' && length > 4 && strcasecmp(entry->d_name + length - 4, ".png") == 0;
}

/* Have room for n pictures of the size of the first. */
static int make_room(struct array *self, const char *path, size_t n, size_t height, size_t width)
{
    size_t bytes = array_element_bytes(self->element);
    self->height = height;
    self->width = width;
    if (n > BYTES_MAX / bytes / height / width) {
        return error_set(LOOM_EUSAGE,
                         "the %zu pictures in %s need more than %zu GiB of memory; make a .npy file of them "
                         "instead, which is mapped",
                         n, path, BYTES_MAX >> 30);
    }
    self->owned = malloc(n * height * width * bytes);
    self->data = self->owned;
    return self->owned != NULL
               ? 0
               : error_set(LOOM_EINTERNAL, "out of memory for %zu pictures of %zu x %zu", n, height, width);
}

/* Whether a picture is of the size of the others, and of the one wanted. */
static int check_size(const struct array *self, const char *path, struct grid shape, size_t height,
                      size_t width)
{
    if (shape.x != 0 && ((size_t)shape.x != height || (size_t)shape.y != width)) {
        return error_set(LOOM_EDATA, "%s is %zu pixels high and %zu wide, but shape is %jdx%jd", path, height,
                         width, (intmax_t)shape.x, (intmax_t)shape.y);
    }
    if (self->owned != NULL && (height != self->height || width != self->width)) {
        return error_set(
            LOOM_EDATA,
            "%s is %zu pixels high and %zu wide, but those before it are %zu high and %zu wide; bring "
            "all to one size",
            path, height, width, self->height, self->width);
    }
    return 0;
}

/* Read picture number i of n. *exact: false if it needs f4, but the others so far are u1. */
static int read_picture(struct array *self, const char *folder, const char *name, struct grid shape, size_t i,
                        size_t n, bool *exact)
{
    char *path = NULL;
    float *values = NULL;
    size_t width = 0, height = 0;
    if (asprintf(&path, "%s/%s", folder, name) < 0) {
        return error_set(LOOM_EINTERNAL, "out of memory for a path");
    }
    int status = image_read_grey(path, &values, &width, &height);
    if (status == 0) {
        status = check_size(self, path, shape, height, width);
    }
    if (status == 0 && self->owned == NULL) {
        status = make_room(self, folder, n, height, width);
    }
    if (status == 0 && self->owned != NULL && self->element == ELEMENT_U1) {
        *exact = image_grey_to_bytes((uint8_t *)self->owned + i * width * height, values, width * height);
    } else if (status == 0 && self->owned != NULL) {
        memcpy((float *)self->owned + i * width * height, values, width * height * sizeof *values);
    }
    free(values);
    free(path);
    return status;
}

static int read_all(struct array *self, const char *path, struct grid shape, struct dirent **entries,
                    size_t n, bool *exact)
{
    int status = 0;
    *exact = true;
    self->n = n;
    for (size_t i = 0; status == 0 && *exact && i < n; i++) {
        status = read_picture(self, path, entries[i]->d_name, shape, i, n, exact);
    }
    return status;
}

int array_read_folder(struct array *self, const char *path, struct grid shape)
{
    struct dirent **entries = NULL;
    bool exact = true;
    *self = (struct array){.element = ELEMENT_U1};
    int n = scandir(path, &entries, is_png, versionsort);
    if (n < 0) {
        return error_set(LOOM_EIO, "cannot read the folder %s: %s", path, strerror(errno));
    }
    int status = n == 0 ? error_set(LOOM_EDATA, "the folder %s holds no PNG (*.png)", path)
                        : read_all(self, path, shape, entries, (size_t)n, &exact);
    if (status == 0 && !exact) { /* some have 16 bits, or colours */
        free(self->owned);
        *self = (struct array){.element = ELEMENT_F4};
        status = read_all(self, path, shape, entries, (size_t)n, &exact);
    }
    for (int i = 0; i < n; i++) {
        free(entries[i]);
    }
    free(entries);
    if (status < 0) {
        array_fini(self);
    }
    return status;
}

size_t array_element_bytes(enum element element)
{
    return element == ELEMENT_U1 ? sizeof(uint8_t) : element == ELEMENT_F4 ? sizeof(float) : sizeof(double);
}

size_t array_picture_bytes(const struct array *self)
{
    return self->height * self->width * array_element_bytes(self->element);
}

void array_fini(struct array *self)
{
    free(self->owned);
    if (self->mapped != NULL) {
        munmap(self->mapped, self->mapped_bytes);
    }
    *self = (struct array){0};
}

/* Layers and frames as pictures; see forms.h. Layers are drawn by the gallery of the stage render. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forms.h"
#include "image.h"
#include "log.h"
#include "stages/render/gallery.h"

char *export_png_path(const char *folder, uint64_t frame)
{
    char *path = NULL;
    return asprintf(&path, "%s/%08" PRIu64 ".png", folder, frame) < 0 ? NULL : path;
}

/* One frame, each number a square. */
static void paint(struct image *image, const struct table *table, const uint8_t *row, size_t scale)
{
    const size_t width = (size_t)table->dims[2];
    for (size_t y = 0; y < image->height; y++) {
        for (size_t x = 0; x < image->width; x++) {
            size_t number = y / scale * width + x / scale;
            float value;
            if (table->cell_bytes == 1) {
                image->pixels[y * image->width + x] = row[number];
                continue;
            }
            memcpy(&value, row + number * sizeof value, sizeof value);
            value = value > 0 ? fminf(value, 1) : 0; /* also for what is not a number */
            image->pixels[y * image->width + x] = (uint8_t)lroundf(255 * value);
        }
    }
}

int export_png_frames(const struct archive *archive, const struct table *table, const char *folder,
                      size_t scale)
{
    struct image image = {0};
    uint8_t *row = NULL;
    bool u1 = table->cell == CELL_UNSIGNED && table->cell_bytes == 1;
    bool f4 = table->cell == CELL_REAL && table->cell_bytes == sizeof(float);
    if (table->rank != 3 || (!u1 && !f4)) {
        return error_set(LOOM_EDATA, "%s of %s are no pictures", table->name, archive->path);
    }
    int status = image_init(&image, (size_t)table->dims[2] * scale, (size_t)table->dims[1] * scale, 1, 0);
    if (status < 0) {
        return status;
    }
    row = malloc(table->row_bytes + 1);
    if (row == NULL) {
        status = error_set(LOOM_EINTERNAL, "out of memory for a frame");
        goto done;
    }
    for (uint64_t at = 0; status == LOOM_OK && at < table->dims[0]; at++) {
        char *path = export_png_path(folder, table->first_frame + table->begin + at);
        if (path == NULL) {
            status = error_set(LOOM_EINTERNAL, "out of memory for a path");
            goto done;
        }
        status = table_read(archive, table, at, 1, row);
        if (status == LOOM_OK) {
            paint(&image, table, row, scale);
            status = image_write(&image, path, NULL);
        }
        free(path);
    }
done:
    free(row);
    image_fini(&image);
    return status;
}

int export_png_layer(const char *path, const char *folder, size_t scale)
{
    struct gallery gallery = {.folder = folder, .scale = scale, .final = true};
    struct shown layer;
    char run[STREAM_NAME_BYTES];
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    char *place = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + (slash == path));
    if (place == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for a path");
    }
    int status = shown_read(&layer, place, name, true); /* nothing if it is another kind of layer */
    if (status == LOOM_OK && layer.weights.data == NULL) {
        status = shown_read(&layer, place, name, false);
    }
    shown_run(run, sizeof run, place);
    gallery.run = run[0] != '\0' ? run : NULL;
    free(place);
    if (status < 0) {
        return status;
    }
    if (text_new(&gallery.text) < 0) {
        log_warning("pictures will have no letters: %s", error_message());
    }
    gallery_draw(&gallery, &layer, NULL);
    if (gallery.failures > 0) {
        status = error_set((enum loom_status)gallery.failure, "%s",
                           gallery.why != NULL ? gallery.why : "no memory");
    }
    gallery_fini(&gallery);
    shown_fini(&layer);
    return status;
}

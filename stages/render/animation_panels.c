/* The numbers of an animation's panels; see animation_state.h. */
#include "animation_state.h"

#include <math.h>
#include <string.h>

/* Pixel q of frame i of the block. */
static float pixel(const struct animation *self, size_t i, size_t q)
{
    const struct stream_info *info = animation_info(self, STREAM_FRAMES);
    if (info->dtype == STREAM_U1) {
        return (float)self->frames[i * self->P + q] / 255;
    }
    float value;
    memcpy(&value, self->frames + (i * self->P + q) * sizeof value, sizeof value);
    return value;
}

static double sum_of(const float *row, size_t n)
{
    double sum = 0;
    for (size_t q = 0; q < n; q++) {
        sum += (double)row[q];
    }
    return sum;
}

/* Sum over the winners of p_i W_i. */
static int reconstruct(const struct animation *self, size_t i, float *out)
{
    const struct stage_weights *W = &self->settings->sparse->weights;
    memset(out, 0, self->P * sizeof *out);
    for (size_t w = 0; w < self->k; w++) {
        const uint32_t unit = self->index[i * self->k + w];
        if (unit >= W->rows) {
            return error_set(LOOM_EDATA, "a code in %s names unit %u of %zu", self->settings->recording, unit,
                             W->rows);
        }
        const float *row = W->data + (size_t)unit * self->P;
        double drive = 0;
        for (size_t q = 0; q < self->P && self->streams[STREAM_FRAMES] != ANIMATION_NONE; q++) {
            drive += (double)row[q] * (double)pixel(self, i, q);
        }
        if (self->streams[STREAM_FRAMES] == ANIMATION_NONE) {
            drive = (double)self->value[i * self->k + w] * sum_of(row, self->P);
        }
        for (size_t q = 0; q < self->P; q++) {
            out[q] += (float)(drive * (double)row[q]);
        }
    }
    return LOOM_OK;
}

/* r = U' io, each r_j as a winner of that code would be seen. */
void animation_see_output(const struct animation *self, const float *io, float *out)
{
    const struct stage_weights *U = &self->settings->invariant->weights,
                               *W = &self->settings->sparse->weights;
    memset(self->scratch, 0, U->cols * sizeof *self->scratch);
    for (size_t i = 0; i < self->M; i++) {
        for (size_t j = 0; j < U->cols && io[i] != 0; j++) {
            self->scratch[j] += U->data[i * U->cols + j] * io[i];
        }
    }
    memset(out, 0, self->P * sizeof *out);
    for (size_t j = 0; j < W->rows; j++) {
        const float *row = W->data + j * self->P;
        const float drive =
            self->scratch[j] != 0 ? (float)((double)self->scratch[j] * sum_of(row, self->P)) : 0;
        for (size_t q = 0; q < self->P && drive != 0; q++) {
            out[q] += drive * row[q];
        }
    }
}

/* The numbers of a panel for frame i of the block. */
int animation_compute(const struct animation *self, enum animation_panel panel, size_t i, float *out)
{
    const float *io = self->outputs + (ANIMATION_BEFORE + i) * self->M;
    switch (panel) {
    case ANIMATION_INPUT:
        for (size_t q = 0; q < self->P; q++) {
            out[q] = pixel(self, i, q);
        }
        return LOOM_OK;
    case ANIMATION_IO:
    case ANIMATION_IO_2:
        memcpy(out, panel == ANIMATION_IO ? io : io - self->M, self->M * sizeof *out);
        return LOOM_OK;
    case ANIMATION_Q:
    case ANIMATION_DIFFERENCE:
        for (size_t u = 0; u < self->M; u++) {
            const float *here = io + u;
            out[u] = (*here + *(here - 2 * self->M)) / 2;
            out[u] = panel == ANIMATION_DIFFERENCE ? fabsf(*(here - self->M) - out[u]) : out[u];
        }
        return LOOM_OK;
    case ANIMATION_RECONSTRUCTION:
        return reconstruct(self, i, out);
    default:
        animation_see_output(self, io, out);
        return LOOM_OK;
    }
}

double animation_largest(const float *values, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        const double size = fabs((double)values[i]);
        most = size > most && isfinite(size) ? size : most;
    }
    return most;
}

/* The sparse layer: the k best-driven units reconstruct the frame and learn from what is left over.
 *
 * For every frame v (P):
 *     p = W v                             drive (N)
 *     c = L p                             drive after lateral excitation on the torus; strength 0: c = p
 *     S = the k units with the largest c  ties: the lower index wins
 *     r = sum over i in S of p_i W_i      reconstruction (P)
 *     W_i *= 1 + rate * p_i * (v - r) / max(r, 1e-10)
 *                                         i in S, element by element; training only
 *     s_i = p_i / sum_q W_iq              i in S, the row sum after the update: the sparse code
 *
 * L: units within `radius` in both grid distances around the torus (not the unit itself) add
 * strength / sqrt(their number) of their drive; a unit counts once even where the torus is so small
 * that it is met from both sides.
 *
 * Single precision: weights shrink geometrically and would underflow to a 0 that can never grow
 * again, where double precision still revives. Bodies in float therefore keep every weight at or
 * above SPARSE_FLOOR. A rate so high that a factor is negative makes weights negative in the
 * reference, and puts them on the floor in float. Nothing keeps them from growing to infinity when a layer
 * diverges; what follows is then of no use, and may depend on how frames are split into calls, and on screening.
 *
 * On a CPU, frames of 255ths are screened (screen.h) as long as that pays. The environment variable LOOM_SCREEN, "never" or
 * "always" (pay or not) when a layer is made, changes the time, and no bit (cpu.h). */
#ifndef LOOM_KERNELS_SPARSE_H
#define LOOM_KERNELS_SPARSE_H

#include <stddef.h>
#include <stdint.h>

#include "kernel.h"

#define SPARSE_FLOOR 1e-37F
#define SPARSE_WINNERS_MAX 64
#define SPARSE_THREADS_MAX 64

struct sparse_config {
    size_t P;        /* pixels of a frame, 1..2^32 - 1 */
    size_t Kx, Ky;   /* grid, both > 0; N = Kx * Ky < 2^32 */
    size_t k;        /* winners, 1..min(N, SPARSE_WINNERS_MAX) */
    double rate;     /* learning rate, >= 0 */
    size_t radius;   /* of lateral excitation, in grid steps */
    double strength; /* of lateral excitation, >= 0; 0: none */
    /* That share the work on a CPU, 0 (as 1) to SPARSE_THREADS_MAX; no result depends on it. */
    size_t threads;
};

struct sparse; /* a layer's weights and working memory; one caller at a time */

/* Make a layer with all weights 0 (at the floor where the body keeps one). KERNEL_EINVAL, KERNEL_ENOMEM (also for
 * a thread that cannot be had), KERNEL_EUNSUPPORTED or KERNEL_EDEVICE on failure, when *self_p is NULL. The caller
 * owns *self_p. */
int sparse_new(struct sparse **self_p, const struct sparse_config *config,
               enum kernel_backend backend) KERNEL_MUST_CHECK;

/* Free the layer and null the pointer; harmless on NULL. */
void sparse_destroy(struct sparse **self_p);

/* The name of the body that computes: "reference", "cpu", "cpu-avx2", ... A static string. */
const char *sparse_body(const struct sparse *self);

/* Set all weights, W (N x P, >= 0; raised to the floor where the body keeps one). KERNEL_ENOMEM or KERNEL_EDEVICE,
 * only from a GPU. */
int sparse_set_weights(struct sparse *self, const float *W);

/* Copy all weights out, W (N x P). Errors as above; then W holds nothing to be used. */
int sparse_get_weights(const struct sparse *self, float *W);

/* The weights where they lie, W (N x P), good until the layer is used again; NULL where they lie in another form, for
 * sparse_get_weights to copy. */
const float *sparse_lend_weights(const struct sparse *self);

/* Bytes of state beyond the float weights that an exact continuation needs (0 for bodies in float). Load it
 * after sparse_set_weights, in a layer of the same configuration and body: what it holds replaces what was
 * set. */
size_t sparse_state_bytes(const struct sparse *self);
void sparse_save_state(const struct sparse *self, void *state);
void sparse_load_state(struct sparse *self, const void *state);

/* Train on n frames in order. index (n x k): the winners, ascending; value (n x k): their code s;
 * residual (n x 2): |v - r|^2 and |v|^2 of each frame. frames (n x P) in [0, 1]. No aliasing. The result is
 * the same to the bit however frames are split into calls. KERNEL_EINVAL, with nothing done, if a pixel is
 * not in [0, 1]. */
int sparse_train(struct sparse *self, uint32_t *index, float *value, float *residual, const float *frames,
                 size_t n) KERNEL_MUST_CHECK;

/* The same with the weights frozen. */
int sparse_encode(struct sparse *self, uint32_t *index, float *value, float *residual, const float *frames,
                  size_t n) KERNEL_MUST_CHECK;

/* Both with frames of bytes (n x P) that stand for byte / 255, rounded to float: the same results, to the bit, as with
 * those floats, and a quarter of the memory to be read, or to be sent to a GPU. KERNEL_ENOMEM, with nothing done, where
 * a body that takes floats only gets none for some of them at a time. */
int sparse_train_bytes(struct sparse *self, uint32_t *index, float *value, float *residual,
                       const uint8_t *frames, size_t n) KERNEL_MUST_CHECK;
int sparse_encode_bytes(struct sparse *self, uint32_t *index, float *value, float *residual,
                        const uint8_t *frames, size_t n) KERNEL_MUST_CHECK;

#endif

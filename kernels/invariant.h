/* The invariant layer: units that follow the sparse code slowly. Two rules.
 *
 * TOPO, for every code s (N, k of them non-zero):
 *     d = L_I (U s)                           lateral excitation on the Ix x Iy torus: lateral.h
 *     if winners: keep the m largest of d     ties: the lower index wins
 *     io += leak * (d - io)                   leaky integration; io (M) is 0 when a pass begins
 *     r = U' io                               reconstruction of the code (N)
 *     z_j = active_rate if s_j > 0 else inactive_rate
 *     U_ij *= 1 + io_i * (s_j - r_j) * z_j / max(r_j, 1e-10)              training only
 *     if t mod normalize_every == 0: U_i. *= (N / M) / sum_j U_ij         training only
 * t counts the frames of the pass, from 0. Output: io.
 *
 * SMOOTH, with the outputs one and two frames ago, io_1 and io_2, and the code one frame ago, s_1,
 * which are 0 when a pass begins:
 *     d = U s;  io = the m largest of d, the rest 0
 *     q = (io + io_2) / 2
 *     U_ij *= 1 + smooth_rate * (q_i - io_1,i) * s_1,j                    training only
 *     r = U' io                               with the updated U
 *     e_j = s_j - r_j where s_j > 0, else 0
 *     U_ij *= 1 + reconstruction_rate * io_i * e_j / max(r_j, 1e-10)      training only
 * Output: io.
 *
 * The float body of TOPO is O(M k) a frame: where r_j >= 1e-10 and s_j = 0 the factor is
 * 1 - inactive_rate * io_i, the same for all such columns, so it is kept aside as one scale a row.
 * Weights in float never fall below INVARIANT_FLOOR (see sparse.h on why). A rate so high that a
 * factor is negative makes weights negative in the reference, and puts them on the floor in float. */
#ifndef LOOM_KERNELS_INVARIANT_H
#define LOOM_KERNELS_INVARIANT_H

#include <stddef.h>
#include <stdint.h>

#include "kernel.h"

#define INVARIANT_FLOOR 1e-37F

enum invariant_rule { INVARIANT_TOPO, INVARIANT_SMOOTH };

struct invariant_config {
    enum invariant_rule rule;
    size_t N;                   /* sparse units, 1..2^32 - 1 */
    size_t Ix, Iy;              /* grid, both > 0; M = Ix * Iy < 2^32 */
    size_t winners;             /* m, 0..M; 0: all */
    size_t radius;              /* TOPO: of lateral excitation, in grid steps */
    double strength;            /* TOPO: of lateral excitation, >= 0; 0: none */
    double leak;                /* TOPO: in (0, 1] */
    double active_rate;         /* TOPO */
    double inactive_rate;       /* TOPO */
    size_t normalize_every;     /* TOPO: frames; 0: never */
    double smooth_rate;         /* SMOOTH */
    double reconstruction_rate; /* SMOOTH; 0: off */
};

struct invariant; /* a layer's weights, state within the pass and working memory; one thread at a time */

/* Make a layer with all weights 0 (at the floor where the body keeps one), at the start of a pass. Errors as
 * sparse_new. The caller owns *self_p. */
int invariant_new(struct invariant **self_p, const struct invariant_config *config,
                  enum kernel_backend backend) KERNEL_MUST_CHECK;

/* Free the layer and null the pointer; harmless on NULL. */
void invariant_destroy(struct invariant **self_p);

/* The name of the body that computes. A static string. */
const char *invariant_body(const struct invariant *self);

/* Set all weights, U (M x N, >= 0; raised to the floor where the body keeps one), or copy them out. KERNEL_ENOMEM or
 * KERNEL_EDEVICE, only from a GPU; then U holds nothing to be used. */
int invariant_set_weights(struct invariant *self, const float *U);
int invariant_get_weights(const struct invariant *self, float *U);

/* All state beyond the weights as get_weights tells them that an exact continuation needs: io, t, scales...
 * The bytes fit this body and configuration on this kind of machine. Load them after invariant_set_weights,
 * in a layer of the same configuration and body: what they hold replaces what was set. Saving changes
 * nothing. */
size_t invariant_state_bytes(const struct invariant *self);
void invariant_save_state(const struct invariant *self, void *state);
void invariant_load_state(struct invariant *self, const void *state);

/* The state where it lies, to be read, or written as invariant_load_state does; NULL where it lies in pieces, for those
 * two to copy. */
void *invariant_lend_state(struct invariant *self);

/* Begin a pass: io (and io_1, io_2, s_1) = 0, t = 0. */
void invariant_begin_pass(struct invariant *self);

/* Train on n codes in order. activations (n x M): io; residual (n x 2): |s - r|^2 and |s|^2 of each code,
 * both over the active units (s_j > 0) only, r before the update it drives (all N columns would cost O(M N)).
 * index (n x k) ascending and distinct, < N; value (n x k) finite and >= 0, a 0 is as good as absent. No
 * aliasing. The result is the same to the bit however codes are split into calls. KERNEL_EINVAL, with nothing
 * done, if a code is not like that. */
int invariant_train(struct invariant *self, float *activations, float *residual, const uint32_t *index,
                    const float *value, size_t k, size_t n) KERNEL_MUST_CHECK;

/* The same with the weights frozen. */
int invariant_encode(struct invariant *self, float *activations, float *residual, const uint32_t *index,
                     const float *value, size_t k, size_t n) KERNEL_MUST_CHECK;

#endif

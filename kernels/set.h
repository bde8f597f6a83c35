/* One source, several instruction sets: the names that keep them apart.
 *
 * Every file that ends in _cpu.c is compiled once for the instruction set of the build (baseline: SSE2, NEON) and
 * again, with LOOM_SET defined, for each of the others in CMakeLists.txt. What such a file exports is called
 * stem_cpu in the source, and stem_avx2, stem_avx512 in the objects of those sets. cpu.h chooses at run time. No
 * source needs to know for which set it is compiled, but for the width of a vector (vector.h), and the results
 * are the same to the bit. */
#ifndef LOOM_KERNELS_SET_H
#define LOOM_KERNELS_SET_H

#ifdef LOOM_SET

#define SET_PASTE(stem, set) stem##_##set
#define SET_EXPAND(stem, set) SET_PASTE(stem, set)
#define SET_NAME(stem) SET_EXPAND(stem, LOOM_SET)
#define SET_QUOTE(set) #set
#define SET_TEXT(set) SET_QUOTE(set)
#define SET_BODY "cpu-" SET_TEXT(LOOM_SET)

#define sparse_body_cpu SET_NAME(sparse_body)
#define topo_body_cpu SET_NAME(topo_body)
#define smooth_body_cpu SET_NAME(smooth_body)
#define lateral_cpu SET_NAME(lateral)
#define winners_cpu SET_NAME(winners)
#define drive_init_cpu SET_NAME(drive_init)
#define drive_fini_cpu SET_NAME(drive_fini)
#define drive_prepare_cpu SET_NAME(drive_prepare)
#define drive_tile_cpu SET_NAME(drive_tile)
#define drive_changed_init_cpu SET_NAME(drive_changed_init)
#define drive_changed_fini_cpu SET_NAME(drive_changed_fini)
#define drive_change_cpu SET_NAME(drive_change)
#define drive_again_cpu SET_NAME(drive_again)
#define screen_scale_cpu SET_NAME(screen_scale)
#define screen_init_cpu SET_NAME(screen_init)
#define screen_fini_cpu SET_NAME(screen_fini)
#define screen_fits_cpu SET_NAME(screen_fits)
#define screen_prepare_cpu SET_NAME(screen_prepare)
#define screen_pack_cpu SET_NAME(screen_pack)
#define screen_tile_cpu SET_NAME(screen_tile)
#define screen_again_cpu SET_NAME(screen_again)
#define screen_error_cpu SET_NAME(screen_error)
#define screen_exact_cpu SET_NAME(screen_exact)
#define weights_init_cpu SET_NAME(weights_init)
#define weights_fini_cpu SET_NAME(weights_fini)
#define weights_renew_cpu SET_NAME(weights_renew)
#define weights_tiles_cpu SET_NAME(weights_tiles)
#define weights_width_cpu SET_NAME(weights_width)
#define weights_floats_cpu SET_NAME(weights_floats)
#define weights_pairs_cpu SET_NAME(weights_pairs)
#define weights_round_cpu SET_NAME(weights_round)
#define weights_refresh_cpu SET_NAME(weights_refresh)
#define weights_rescale_cpu SET_NAME(weights_rescale)
#define moments_sums_cpu SET_NAME(moments_sums)
#define pairs_cpu SET_NAME(pairs)
#define measure_units_cpu SET_NAME(measure_units)
#define measure_dots_cpu SET_NAME(measure_dots)
#define measure_unit_cpu SET_NAME(measure_unit)
#define measure_near_cpu SET_NAME(measure_near)
#define columns_set_cpu SET_NAME(columns_set)
#define columns_drive_cpu SET_NAME(columns_drive)
#define columns_keep_winners_cpu SET_NAME(columns_keep_winners)
#define columns_active_cpu SET_NAME(columns_active)

#else

#define SET_BODY "cpu"

#endif

#endif

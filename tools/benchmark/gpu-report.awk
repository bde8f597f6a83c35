# What tools/gpu-check has measured as tables in Markdown, to be pasted into kernels/cuda/NOTES.md:
#
#     awk -v device='NVIDIA H100' -v date=2026-11-27 -f gpu-report.awk FILE...
#
# Lines of the files: NAME RATE ... (kernel-bench's table; gpu.py's results), RATE in frames/s. The floors are those counted on paper in
# NOTES.md for an H100 (132 multiprocessors, 1.98 GHz, 3 TB/s): no version runs much faster. Barriers are counted in the source.

BEGIN {
    h100_multiply_adds = 33.4e12 # a second, float32
    h100_bytes = 3e12            # a second
    floor_us["B/sparse_train"] = floor_us["B/sparse_train_bytes"] = 0.85
    floor_us["B/topo_train"] = floor_us["B/topo_encode"] = 0.75
    floor_us["B/both_train"] = 1.6
    barriers["B/sparse_train"] = barriers["B/sparse_train_bytes"] = "6"
    barriers["A/sparse_train"] = barriers["A/sparse_train_bytes"] = "5"
    barriers["B/topo_train"] = barriers["B/topo_encode"] = "4 + 1 of the cluster"
    barriers["A/smooth_train"] = barriers["A/smooth_encode"] = "6"
}

$2 ~ /^[0-9.e+]+$/ && $1 ~ /\// && !($1 in rate) {
    rate[$1] = $2
    order[++n] = $1
}

# 1234567.8 -> 1,234,568
function grouped(x,    digits, text) {
    digits = sprintf("%.0f", x)
    while (length(digits) > 3) {
        text = "," substr(digits, length(digits) - 2) text
        digits = substr(digits, 1, length(digits) - 3)
    }
    return digits text
}

# The number behind "N=" and the like in a name.
function part(name, letter) {
    return match(name, letter "=[0-9]+") ? substr(name, RSTART + 2, RLENGTH - 2) + 0 : 0
}

# Microseconds a frame that the arithmetic and the bytes of memory of a larger layer take at least.
function growth_floor(name,    N, P, M, arithmetic, memory) {
    N = part(name, "N")
    P = part(name, "P")
    M = part(name, "M")
    if (P > 0) { # all drives; weights read once a block of 64
        arithmetic = N * P / h100_multiply_adds
        memory = N * P * 4 / 64 / h100_bytes
    } else { # every weight read, used twice, and written
        arithmetic = 2 * N * M / h100_multiply_adds
        memory = N * M * 4 > 50e6 ? 2 * N * M * 4 / h100_bytes : 0 # else it stays in the L2 cache
    }
    return 1e6 * (arithmetic > memory ? arithmetic : memory)
}

function row(name,    stem, us, least, share, cupy) {
    stem = name
    sub(/\/[^\/]*$/, "", stem)
    us = 1e6 / rate[name]
    least = name ~ /^growth/ ? growth_floor(name) : floor_us[stem]
    share = least > 0 && name ~ /\/cuda$/ ? sprintf("%.1f%%", 100 * least / us) : ""
    cupy = (stem "/cupy") in rate ? sprintf("%.1f", rate[name] / rate[stem "/cupy"]) : ""
    printf "| %s | %s | %s | %s | %.3f | %s | %s | %s |\n", date, device, name, grouped(rate[name]), us,
           name ~ /\/cuda$/ ? barriers[stem] : "", share, cupy
}

function target(what, name, first, goal,    met) {
    if (!(name in rate)) {
        printf "| %s | %s | not measured | %s | %s | |\n", what, name, grouped(first), grouped(goal)
        return
    }
    met = (rate[name] >= goal) ? "goal met" : (rate[name] >= first) ? "first step met" : "**not met**"
    printf "| %s | %s | %s | %s | %s | %s |\n", what, name, grouped(rate[name]), grouped(first), grouped(goal), met
}

function against_cupy(operation,    ours, cupy) {
    ours = "B/" operation "/cuda"
    cupy = "B/" operation "/cupy"
    if (!(ours in rate) || !(cupy in rate)) {
        printf "| %s against CuPy | %s | not measured | 200 x | | |\n", operation, ours
        return
    }
    printf "| %s against CuPy | %s | %.0f x | 200 x | | %s |\n", operation, ours, rate[ours] / rate[cupy],
           (rate[ours] >= 200 * rate[cupy]) ? "met" : "**not met**"
}

END {
    print "| date | device | what | frames/s | µs a frame | barriers a frame | of the floor on paper | x CuPy |"
    print "|---|---|---|---|---|---|---|---|"
    for (i = 1; i <= n; i++) {
        if (order[i] !~ /^pixels|^frames_a/) {
            row(order[i])
        }
    }
    print ""
    print "| target | case | frames/s | first step | goal | |"
    print "|---|---|---|---|---|---|"
    target("sparse training, kernel alone", "B/sparse_train_bytes/cuda", 300000, 1000000)
    target("`topo` alone", "B/topo_train/cuda", 1000000, 3000000)
    target("whole pipeline as processes", "pipeline/B", 200000, 500000)
    target("32 sparse trainings at once, in sum", "runs/sparse_train/cuda/together=32", 2000000, 10000000)
    against_cupy("sparse_train")
    against_cupy("both_train")
}

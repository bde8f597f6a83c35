# Writes OUT, a C file with the contents of FILES (separated by '|'): cmake -DOUT=... -DFILES=... -P page_embed.cmake
string(REPLACE "|" ";" files "${FILES}")
list(LENGTH files n)
set(arrays "")
set(table "")
set(i 0)
foreach(file IN LISTS files)
  file(READ "${file}" hex HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  file(SIZE "${file}" bytes)
  get_filename_component(name "${file}" NAME)
  string(APPEND arrays "static const unsigned char file_${i}[] = {\n${hex}0};\n")
  string(APPEND table "    {\"${name}\", file_${i}, ${bytes}},\n")
  math(EXPR i "${i} + 1")
endforeach()
file(WRITE "${OUT}.new" "/* Made by page_embed.cmake. */
#include \"page.h\"

${arrays}
const struct page_file page_files[] = {\n${table}    {NULL, NULL, 0},\n};
const size_t page_files_n = ${n};
")
file(RENAME "${OUT}.new" "${OUT}")

# Writes a C file with the text of some files, one after the other, as a string that ends with 0:
#
#   cmake -DNAME=symbol -DFILES="a.h|b.cu" -DOUT=symbol.c -P embed.cmake
#
# A line `#line` stands in front of each, so that compilers of the text name the file.
string(REPLACE "|" ";" FILES "${FILES}")
set(bytes "")
foreach(file IN LISTS FILES)
  get_filename_component(short "${file}" NAME)
  string(HEX "#line 1 \"${short}\"\n" mark)
  file(READ "${file}" text HEX)
  string(APPEND bytes "${mark}${text}")
endforeach()
string(REPEAT "[0-9a-f]" 40 line)
string(REGEX REPLACE "(${line})" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE "${OUT}" "extern const char ${NAME}[];\nconst char ${NAME}[] = {\n${bytes}\n0};\n")

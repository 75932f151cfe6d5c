# seer_embed(target name FILES path...): the files' bytes as part of the target. The header
# "<name>.h" has for each `inline absl::string_view <name>::<file with '_' for other signs>()`.
function(seer_embed target name)
  cmake_parse_arguments(ARG "" "" "FILES" ${ARGN})
  set(out ${CMAKE_CURRENT_BINARY_DIR}/embedded)
  set(header "// Made by cmake/Embed.cmake.\n#pragma once\n#include \"absl/strings/string_view.h\"\nnamespace ${name} {\n")
  set(source "// Made by cmake/Embed.cmake.\n")
  foreach(file IN LISTS ARG_FILES)
    get_filename_component(base ${file} NAME)
    string(MAKE_C_IDENTIFIER ${base} id)
    set(symbol ${name}_${id})
    string(APPEND header
      "extern \"C\" const char ${symbol}[], ${symbol}_end[];\n"
      "inline absl::string_view ${id}() {\n"
      "  return absl::string_view(${symbol}, static_cast<size_t>(${symbol}_end - ${symbol}));\n}\n")
    string(APPEND source
      "asm(\".section .rodata\\n.global ${symbol}\\n.global ${symbol}_end\\n${symbol}:\\n\"\n"
      "    \".incbin \\\"${file}\\\"\\n${symbol}_end:\\n.byte 0\\n.previous\\n\");\n")
  endforeach()
  string(APPEND header "}  // namespace ${name}\n")
  file(GENERATE OUTPUT ${out}/${name}.h CONTENT "${header}")
  file(GENERATE OUTPUT ${out}/${name}.cc CONTENT "${source}")
  set_source_files_properties(${out}/${name}.cc PROPERTIES OBJECT_DEPENDS "${ARG_FILES}")
  target_sources(${target} PRIVATE ${out}/${name}.cc)
  target_include_directories(${target} PRIVATE ${out})
endfunction()

# SEER_SANITIZE=address,undefined | thread instruments every target of the project.
set(SEER_SANITIZE "" CACHE STRING "Comma-separated sanitizers")
if(SEER_SANITIZE)
  add_compile_options(-fsanitize=${SEER_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SEER_SANITIZE})
endif()

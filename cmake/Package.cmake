# Debian packages, by `cpack --config BUILD/CPackConfig.cmake`: a component each.
#   seer-common       libraries of Arrow            seer              the command line, recipes, completion
#   seer-coordinator, seer-dataservice, seer-worker  a program, its unit, its flags in /etc/seer; the worker with LibTorch
# What comes out of Python wheels lies in /usr/lib/seer, where the programs look for it.
find_program(SEER_PATCHELF patchelf)
set(private_dir lib/seer)

# seer_package(component PROGRAMS targets...): they without symbols and with the package's own search path.
function(seer_package component)
  cmake_parse_arguments(ARG "" "" "PROGRAMS" ${ARGN})
  foreach(program IN LISTS ARG_PROGRAMS)
    install(PROGRAMS $<TARGET_FILE:${program}> DESTINATION bin COMPONENT ${component})
    install(CODE "
      if(NOT EXISTS \"${SEER_PATCHELF}\")
        message(FATAL_ERROR \"Programs cannot be installed without patchelf: apt-get install patchelf, and configure again\")
      endif()
      set(file \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/bin/${program}\")
      execute_process(COMMAND \"${SEER_PATCHELF}\" --set-rpath /usr/${private_dir} \"\${file}\" COMMAND_ERROR_IS_FATAL ANY)
      execute_process(COMMAND \"${CMAKE_STRIP}\" \"\${file}\" COMMAND_ERROR_IS_FATAL ANY)"
      COMPONENT ${component})
  endforeach()
  string(TOUPPER ${component} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${component} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_FILE_NAME DEB-DEFAULT PARENT_SCOPE)
  install(FILES ${CMAKE_SOURCE_DIR}/LICENSE RENAME copyright DESTINATION share/doc/${component} COMPONENT ${component})
endfunction()

# seer_private_libraries(component FILTER regex PROGRAMS ...): libraries of the programs that are of SEER_DEPS and whose path fits.
function(seer_private_libraries component filter)
  set(files "")
  foreach(program IN LISTS ARGN)
    list(APPEND files "$<TARGET_FILE:${program}>")
  endforeach()
  install(CODE "
    file(GET_RUNTIME_DEPENDENCIES EXECUTABLES ${files} RESOLVED_DEPENDENCIES_VAR found UNRESOLVED_DEPENDENCIES_VAR missing
         POST_INCLUDE_REGEXES \"^${SEER_SITE_PACKAGES}/.*${filter}\" POST_EXCLUDE_REGEXES \".*\")
    if(missing)
      message(FATAL_ERROR \"libraries that are not there: \${missing}\")
    endif()
    file(INSTALL \${found} DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${private_dir}\" FOLLOW_SYMLINK_CHAIN
         FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)"
    COMPONENT ${component})
endfunction()

# seer_service(component): its unit, its flags, and the user.
function(seer_service component)
  string(REPLACE "seer-" "" short ${component})
  set(env ${short}.env)
  set(unit ${component}.service)
  install(FILES ${CMAKE_SOURCE_DIR}/deploy/systemd/${unit} DESTINATION lib/systemd/system COMPONENT ${component})
  install(FILES ${CMAKE_SOURCE_DIR}/deploy/systemd/${env} DESTINATION /etc/seer COMPONENT ${component})
  set(control ${CMAKE_BINARY_DIR}/packages/${component})
  foreach(script postinst prerm postrm)
    configure_file(${CMAKE_SOURCE_DIR}/deploy/packages/${script}.in ${control}/${script} @ONLY
                   FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  endforeach()
  file(WRITE ${control}/conffiles "/etc/seer/${env}\n")
  string(TOUPPER ${component} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA "${control}/postinst;${control}/prerm;${control}/postrm;${control}/conffiles" PARENT_SCOPE)
endfunction()

seer_package(seer-common)
seer_private_libraries(seer-common "pyarrow/" seer seer-coordinator seer-dataservice seer-trainer)
seer_package(seer-coordinator PROGRAMS seer-coordinator)
seer_service(seer-coordinator)
seer_package(seer-dataservice PROGRAMS seer-dataservice)
seer_service(seer-dataservice)
seer_package(seer-worker PROGRAMS seer-worker seer-trainer)
seer_private_libraries(seer-worker "(torch|nvidia)/" seer-trainer)
seer_service(seer-worker)
seer_package(seer PROGRAMS seer)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/recipes/ DESTINATION share/seer/recipes COMPONENT seer FILES_MATCHING PATTERN "*.yaml")
foreach(path bash-completion/completions/seer zsh/vendor-completions/_seer fish/vendor_completions.d/seer.fish)
  string(REGEX MATCH "^[a-z]+" shell ${path})
  install(CODE "
    set(file \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share/${path}\")
    get_filename_component(folder \"\${file}\" DIRECTORY)
    file(MAKE_DIRECTORY \"\${folder}\")
    execute_process(COMMAND \"$<TARGET_FILE:seer>\" completion ${shell} OUTPUT_FILE \"\${file}\" COMMAND_ERROR_IS_FATAL ANY)"
    COMPONENT seer)
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME seer)
set(CPACK_PACKAGE_CONTACT "The seer authors <seer@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_COMPONENTS_ALL seer-common seer-coordinator seer-dataservice seer-worker seer)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_THREADS 0)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
file(GLOB nvidia_dirs ${SEER_SITE_PACKAGES}/nvidia/*/lib)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${SEER_SITE_PACKAGES}/pyarrow ${SEER_SITE_PACKAGES}/torch/lib ${nvidia_dirs})
set(CPACK_DEBIAN_SEER-COMMON_DESCRIPTION "Arrow's libraries, as seer's programs were built with them")
set(CPACK_DEBIAN_SEER-COORDINATOR_DESCRIPTION "Queues training jobs and keeps their gangs alive")
set(CPACK_DEBIAN_SEER-DATASERVICE_DESCRIPTION "Decodes image pools and streams crops to trainers")
set(CPACK_DEBIAN_SEER-WORKER_DESCRIPTION "Agent and trainer of a machine, with LibTorch")
set(CPACK_DEBIAN_SEER_DESCRIPTION "Command line of seer: jobs, pools, checkpoints, clusters")
foreach(component SEER-COORDINATOR SEER-DATASERVICE SEER-WORKER SEER)
  set(CPACK_DEBIAN_${component}_PACKAGE_DEPENDS "seer-common (= ${PROJECT_VERSION})")
endforeach()
set(CPACK_DEBIAN_SEER-COORDINATOR_PACKAGE_SUGGESTS postgresql)
include(CPack)

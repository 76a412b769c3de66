# Stand-in, see SlicerConfig.cmake: the real one lets other extensions find this one.
file(WRITE "${CMAKE_BINARY_DIR}/${EXTENSION_NAME}Config.cmake" "# Stand-in\n")

# A stand-in for the CMake package of 3D Slicer, for tests only: it is not Slicer, and passing here proves nothing about
# compiling or running against it. It knows what this project uses, and refuses what the real package would refuse, or
# would let pass with a broken extension as the result.
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/SlicerExtensionGenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/SlicerExtensionCPack.cmake")

set(Slicer_VERSION_MAJOR 5)
set(Slicer_VERSION_MINOR 8)
set(Slicer_VERSION "5.8")
set(Slicer_USE_PYTHONQT ON)
set(Slicer_INSTALL_ROOT "")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-5.8/qt-scripted-modules")
set(Slicer_LAUNCHER_EXECUTABLE "Slicer-is-not-here")

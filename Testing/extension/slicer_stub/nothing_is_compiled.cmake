# Toolchain file of the tests. Extensions enable C and C++, as Slicer's package needs them, but a scripted one compiles
# nothing: with this, the tests run where there is no compiler.
foreach(language IN ITEMS C CXX)
  set(CMAKE_${language}_COMPILER "${CMAKE_COMMAND}")
  set(CMAKE_${language}_COMPILER_ID "None")
  set(CMAKE_${language}_COMPILER_ID_RUN TRUE)
  set(CMAKE_${language}_COMPILER_FORCED TRUE)
endforeach()

// A program only so that the headers which the tests share are precompiled as for a program: see gannet_test in
// tools/cmake/GannetRooms.cmake.
int main() {}

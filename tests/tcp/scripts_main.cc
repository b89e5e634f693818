// Plays every script of one folder: tcp_scripts DIRECTORY [NAME]. Exit 0: all of them hold.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/tcp/runner.h"

int main(int argc, char** argv) {
  using namespace gannet::test::tcp;
  if (argc < 2) {
    std::fprintf(stderr, "usage: tcp_scripts DIRECTORY [NAME]\n");
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1]))
    if (entry.path().extension() == ".tcp" && (argc < 3 || entry.path().stem() == argv[2]))
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::size_t failed = 0;
  for (const auto& file : files) {
    std::ifstream in(file);
    std::stringstream text;
    text << in.rdbuf();
    Script script;
    script.name = file.stem();
    std::string fault = parse_script(text.str(), script);
    fault = fault.empty() ? run_script(script) : script.name + ".tcp: " + fault + "\n";
    if (fault.empty()) continue;
    ++failed;
    std::printf("FAILED %s\n", fault.c_str());
  }
  std::printf("%s: %zu of %zu scripts hold\n", argv[1], files.size() - failed, files.size());
  return failed == 0 && !files.empty() ? 0 : 1;
}

/* micro.cc - what the suites share. Threads: see micro.h. */
#include "micro/micro.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace micro {

Scale scale;

void count_orders(benchmark::State &state, uint64_t orders)
{
    state.SetItemsProcessed(static_cast<int64_t>(orders));
    state.counters["per_order"] = benchmark::Counter(
        static_cast<double>(orders), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void count_ns(benchmark::State &state, const char *name, uint64_t ns, uint64_t orders)
{
    state.counters[name] =
        benchmark::Counter(static_cast<double>(ns) / static_cast<double>(orders));
}

TempDir::TempDir()
{
    std::string path = (std::filesystem::temp_directory_path() / "holdfast-micro-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) {
        std::perror(path.c_str());
        std::exit(1);
    }
    path_ = path;
}

TempDir::~TempDir()
{
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

} // namespace micro

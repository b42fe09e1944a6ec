/* main.cc - all suites in one program, with the options of Google Benchmark and two more.
 *
 *   --tiny    small sizes, one iteration or little time each: only to see that all of it runs
 *   --large   order tables of 16 M and 64 M too (6 GB of memory)
 *
 * Threads: main. */
#include "micro/micro.h"
#include "micro/suites.h"

#include <cstring>
#include <string>
#include <vector>

int main(int argc, char **argv)
{
    std::vector<char *> rest;
    for (int i = 0; i < argc; i++) {
        if (std::strcmp(argv[i], "--tiny") == 0) {
            micro::scale.tiny = true;
        } else if (std::strcmp(argv[i], "--large") == 0) {
            micro::scale.large = true;
        } else {
            rest.push_back(argv[i]);
        }
    }
    /* Before the command line's own, which wins. */
    std::string min_time =
        micro::scale.tiny ? "--benchmark_min_time=0.001" : "--benchmark_min_time=0.25";
    rest.insert(rest.begin() + 1, min_time.data());
    int count = static_cast<int>(rest.size());
    rest.push_back(nullptr);

    micro::register_counters();
    micro::register_orders();
    micro::register_codec();
    micro::register_record();
    micro::register_log();
    micro::register_commit();
    micro::register_expiry();
    micro::register_recovery();
    micro::register_engine();
    micro::register_scaling();

    benchmark::Initialize(&count, rest.data());
    if (benchmark::ReportUnrecognizedArguments(count, rest.data())) {
        return 2;
    }
    /* A filter that matches nothing is a mistake, not a success. */
    size_t ran = benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return ran > 0 ? 0 : 1;
}

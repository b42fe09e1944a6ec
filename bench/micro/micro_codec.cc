/* micro_codec.cc - a reserve and its answer on the wire, as rows and as columns. Threads: one. */
#include "micro/micro.h"

#include <string>

#include "micro/codec_rig.h"
#include "micro/suites.h"

namespace {

template <size_t (*operation)(struct codec_rig *)> void run(benchmark::State &state, bool columns)
{
    uint32_t orders = static_cast<uint32_t>(state.range(0));
    struct codec_rig *rig = codec_rig_make(orders, columns);
    size_t bytes = 0;
    for (auto _ : state) {
        bytes = operation(rig);
    }
    codec_rig_free(rig);
    micro::count_orders(state, static_cast<uint64_t>(state.iterations()) * orders);
    state.counters["bytes_per_order"] = static_cast<double>(bytes) / orders;
}

template <size_t (*operation)(struct codec_rig *)> void add(const char *name)
{
    for (bool columns : {false, true}) {
        std::string full = std::string("codec/") + (columns ? "columns/" : "rows/") + name;
        benchmark::RegisterBenchmark(full.c_str(), run<operation>, columns)
            ->ArgName("batch")
            ->Arg(1)
            ->Arg(100)
            ->Arg(1000);
    }
}

} // namespace

void micro::register_codec()
{
    add<codec_rig_encode_request>("encode_request");
    add<codec_rig_decode_request>("decode_request");
    add<codec_rig_encode_response>("encode_response");
    add<codec_rig_decode_response>("decode_response");
}

/* suites.h - the suites: each registers its benchmarks under "<suite>/".
 *
 * Threads: main. */
#ifndef MICRO_SUITES_H
#define MICRO_SUITES_H

namespace micro {

void register_counters();
void register_orders();
void register_codec();
void register_record();
void register_log();
void register_commit();
void register_expiry();
void register_recovery();
void register_engine();
void register_scaling();

} // namespace micro

#endif

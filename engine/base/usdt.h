/* usdt.h - static probes (USDT) that bpftrace, perf, gdb and SystemTap can watch in a running
 * engine.
 *
 * A build with -DHOLDFAST_USDT=ON (Debian package systemtap-sdt-dev) has them; in any other build
 * they are nothing. Where nobody watches, a probe is one nop, and its arguments are in registers or
 * memory anyway. docs/contributing.md shows how to watch them. Provider `holdfast`:
 *
 *     reserve(status, lines)   an order was decided, not yet durable (server/decide.c)
 *     append(lsn, bytes)       records have their place in the log: the first byte's LSN
 * (wal/append.c) durable(lsn)             all before that LSN is on disk (wal/writer.c) reply(lsn,
 * status)       an answer leaves; lsn: what it waited for, 0: nothing (server/server.c)
 *
 * Threads: any. */
#ifndef BASE_USDT_H
#define BASE_USDT_H

#ifdef HOLDFAST_USDT
#include <sys/sdt.h>
#define USDT1(name, a)    DTRACE_PROBE1(holdfast, name, a)
#define USDT2(name, a, b) DTRACE_PROBE2(holdfast, name, a, b)
#else
#define USDT1(name, a)    ((void)(a))
#define USDT2(name, a, b) ((void)(a), (void)(b))
#endif

#endif

/* nng.h - the only file of the engine that includes nng. Builds with nng 1.5.2 to 1.11.
 *
 * nng does the streams: addresses, polling, threads, TCP and ipc. The protocol on them, SP, is done
 * by the files of this folder. nng's own sockets would hand every message through two or three of
 * nng's threads in each direction, and send each message with a system call of its own: about 10 us
 * of CPU a message and side. Here one thread handles all messages that came in with one read, and
 * messages that are added while a write is under way leave together with the next write.
 *
 * Threads: nng's callbacks run on nng's threads, any number at once.
 *
 * Rules for nng's operations:
 * - None is started on a closed stream: nng 1.5.2 would never end it (see the gate in link.h).
 * - None has a timeout, except a dial: each timeout would wake nng's expiry thread. The watchdog
 * and the client's timer check the times instead, every 10 to 100 ms. */
#ifndef RPC_NNG_H
#define RPC_NNG_H

#include <nng/nng.h>

#endif

/* link.h - the connections to the engine, and patience with one that is being restarted.
 *
 * Threads: any once opened; the clients of the library are thread-safe. */
#ifndef LOAD_LINK_H
#define LOAD_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>

#include "load/options.h"

#define LINK_RETRY_NS UINT64_C(20000000) /* between two tries while the engine is away */

struct link {
    uint32_t client_count;
    struct hf_client *clients[LOAD_CONNECTIONS_MAX];
    uint64_t give_up_ns;
    bool refused; /* the engine did not take all connections */
};

/* Opens options->connections clients, and allows the process that many files. Does not wait for the
 * engine. HF_INVALID also when the system does not allow so many; that is said on stderr. */
enum hf_status link_open(struct link *link, const struct load_options *options);

/* Closes them. Thousands that the engine did not take are left to the end of the process: closing
 * each would take seconds. */
void link_close(struct link *link);

/* Asks for the engine's status on each connection, so that all stand before anything is measured,
 * with the patience of link_again. OK, or why the first did not get it. */
enum hf_status link_greet(struct link *link);

/* True for a status after which the same request, with the same ids, is to be sent again: there was
 * no answer, or one that says "not now". */
bool link_is_transient(enum hf_status status);

#define LINK_MESSAGE_BYTES 256u

/* Why something ended with that status: `text`, which came with it, or what the status means when
 * the text is empty. On one line, whatever the other side has sent. Returns room. */
const char *link_reason(enum hf_status status, const char *text, char room[LINK_MESSAGE_BYTES]);

/* The same for the call of the library that has just ended with that status in this thread. */
const char *link_message(enum hf_status status, char room[LINK_MESSAGE_BYTES]);

/* For loops around blocking calls:
 *     uint64_t since = pause_now_ns();
 *     do { status = hf_...; } while (link_again(link, status, since));
 * Waits a moment and returns true while the status is transient and give-up has not passed. */
bool link_again(const struct link *link, enum hf_status status, uint64_t since_ns);

#endif

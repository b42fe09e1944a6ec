/* acceptor.c - listeners, their connections, and the watchdog over both, as one. See acceptor.h. */
#include "rpc/acceptor.h"

void acceptor_init(struct acceptor *acceptor, const struct connection_options *options)
{
    connections_init(&acceptor->connections, options);
    listeners_init(&acceptor->listeners);
    watchdog_init(&acceptor->watchdog, &acceptor->listeners, &acceptor->connections);
}

enum hf_status acceptor_start(struct acceptor *acceptor)
{
    return watchdog_start(&acceptor->watchdog);
}

enum hf_status acceptor_listen(struct acceptor *acceptor, const char *url, char *actual_url,
                               size_t actual_url_bytes)
{
    return listeners_add(&acceptor->listeners, &acceptor->connections, url, actual_url,
                         actual_url_bytes);
}

void acceptor_stop(struct acceptor *acceptor)
{
    connections_stop(&acceptor->connections);
    watchdog_stop(&acceptor->watchdog);
    listeners_close(&acceptor->listeners);
}

void acceptor_deinit(struct acceptor *acceptor)
{
    watchdog_deinit(&acceptor->watchdog);
    listeners_deinit(&acceptor->listeners);
    connections_deinit(&acceptor->connections);
}

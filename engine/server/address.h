/* address.h - whether an address can be listened on, before anything is made that would be in vain.
 *
 * Threads: any. */
#ifndef SERVER_ADDRESS_H
#define SERVER_ADDRESS_H

/* Tries tcp://HOST:PORT or ipc://PATH without listening, so that nobody gets a connection. NULL, or
 * why nobody can listen there now: it is in use, no address, or none of this machine's. What this
 * can't tell transport_server_listen() does. */
const char *address_fault(const char *url);

#endif

/* import_known.h - how an engine knows that an import is repeated: the ids of its stock settings.
 *
 * Threads: any; pure functions. */
#ifndef CLI_IMPORT_KNOWN_H
#define CLI_IMPORT_KNOWN_H

#include <holdfast/client.h>

#include "cli/import.h"

/* The id of an import's setting of a row's stock: an import that is repeated repeats it. */
struct hf_id import_adjustment_id(const char *reference, const struct import_row *row);

#endif

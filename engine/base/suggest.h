/* suggest.h - "did you mean": which of the words that there are look like one that there is not.
 *
 * Looked at are letters, not bytes (UTF-8); two that stand the wrong way round count as one
 * mistake, and large and small letters of ASCII as the same. Threads: any, each with its own. */
#ifndef BASE_SUGGEST_H
#define BASE_SUGGEST_H

#include <stddef.h>
#include <stdint.h>

#define SUGGEST_WORDS      3u
#define SUGGEST_WORD_BYTES 72u /* longer words are not looked at; above CODE_BYTES_MAX */
#define SUGGEST_TEXT_BYTES (SUGGEST_WORDS * (SUGGEST_WORD_BYTES + 8) + 32)

struct suggest {
    const char *wanted;
    unsigned count;
    unsigned mistakes[SUGGEST_WORDS];
    char words[SUGGEST_WORDS][SUGGEST_WORD_BYTES]; /* the nearest first */
};

/* wanted: outlives it. */
void suggest_begin(struct suggest *suggest, const char *wanted);

/* One word that there is; kept if it is like the wanted one. */
void suggest_offer(struct suggest *suggest, const char *word);

/* " (did you mean 'a' or 'b'?)", or "" when nothing is alike. text: SUGGEST_TEXT_BYTES. */
const char *suggest_text(const struct suggest *suggest, char *text);

#endif

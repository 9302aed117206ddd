/* Prints the base and the folder of its socket for this environment and working directory, or "-" where either
 * cannot be told. Words: the path of --db or an empty one, "global" or an empty word. */
#include "client.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    static struct place place;
    const char *db = argc > 1 && argv[1][0] ? argv[1] : NULL;
    if (!find_base(&place, db, argc > 2 && !strcmp(argv[2], "global")) || !find_folder(&place))
        return puts("-") < 0;
    return fwrite(place.base, strlen(place.base) + 1, 1, stdout) != 1 || puts(place.folder) < 0;
}

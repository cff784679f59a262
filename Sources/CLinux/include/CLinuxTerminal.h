// Terminals and byte streams for the serial port; the rules at the top of CLinux.h hold here too.
#ifndef CLINUX_TERMINAL_H
#define CLINUX_TERMINAL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Opens a pseudo-terminal and returns its master side: close-on-exec, non-blocking. The slave side
/// is raw and goes to `*slave`, its path to `path`.
int clinux_pseudo_terminal(int *slave, char *path, size_t path_size);

/// Makes a terminal's input raw and has the end of the process undo it. Output processing stays, and
/// with `keep_signals` so do the keys that interrupt. Returns 0 when it is not a terminal, else 1.
/// One terminal per process; another one gets -EBUSY.
int clinux_terminal_make_raw(int descriptor, int keep_signals);
/// Undoes clinux_terminal_make_raw; harmless when there is nothing to undo.
void clinux_terminal_restore(void);

/// How to use a stream without waiting for it and without touching the flags of its file
/// description, which other processes may share.
#define CLINUX_STREAM_SOCKET 1
/// The file description is our own and has O_NONBLOCK.
#define CLINUX_STREAM_NONBLOCKING 2
/// The file description is shared and may block: ask poll first, then write little.
#define CLINUX_STREAM_SHARED 3

/// A descriptor of our own for the stream behind `descriptor`; one of the above goes to `*manner`.
int clinux_stream_open(int descriptor, int *manner);
/// Reads what is there, -EAGAIN when nothing is; a shared stream must have been found readable.
long clinux_stream_read(int descriptor, int manner, void *bytes, size_t length);
/// Writes what the stream takes at once, -EAGAIN when that is nothing. Never raises SIGPIPE.
long clinux_stream_write(int descriptor, int manner, const void *bytes, size_t length);

#ifdef __cplusplus
}
#endif
#endif

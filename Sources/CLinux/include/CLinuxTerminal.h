// Terminals and byte streams for the serial port; the rules at the top of CLinux.h apply here too.
#ifndef CLINUX_TERMINAL_H
#define CLINUX_TERMINAL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Opens a pseudo-terminal and returns its master side, close-on-exec and non-blocking. Stores the
/// slave side, in raw mode, in `*slave` and its path in `path`.
int clinux_pseudo_terminal(int *slave, char *path, size_t path_size);
/// Writes the path of the slave of a master.
int clinux_terminal_name(int master, char *path, size_t path_size);

/// Sets a terminal's input to raw mode and restores it when the process exits. Output processing is
/// kept, and with `keep_signals` also the keys that send signals. Returns 1, or 0 if the descriptor
/// is not a terminal. Only one terminal per process; -EBUSY for another one.
int clinux_terminal_make_raw(int descriptor, int keep_signals);
/// Undoes clinux_terminal_make_raw; does nothing if there is nothing to undo.
void clinux_terminal_restore(void);
/// How many columns and rows a terminal has; 0 if that is not known.
void clinux_terminal_size(int descriptor, int *columns, int *rows);
/// The terminal is as it was before, for another program in this process; and raw again.
void clinux_terminal_pause(void);
void clinux_terminal_resume(void);

/// How to use a stream without blocking and without changing the flags of its open file
/// description, which other processes may share. A socket: per-call flags are used.
#define CLINUX_STREAM_SOCKET 1
/// The open file description is our own and has O_NONBLOCK.
#define CLINUX_STREAM_NONBLOCKING 2
/// The open file description is shared and may block: poll first, then write little.
#define CLINUX_STREAM_SHARED 3

/// Returns a descriptor of our own for the stream behind `descriptor`; stores one of the above in
/// `*manner`.
int clinux_stream_open(int descriptor, int *manner);
/// Reads available bytes, -EAGAIN if there are none; a shared stream must have been polled as
/// readable.
long clinux_stream_read(int descriptor, int manner, void *bytes, size_t length);
/// Writes as much as possible without blocking, -EAGAIN if nothing. Never raises SIGPIPE.
long clinux_stream_write(int descriptor, int manner, const void *bytes, size_t length);

#ifdef __cplusplus
}
#endif
#endif

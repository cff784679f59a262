// What a recording proxy needs beside CLinux.h; the rules at the top of that file apply here too.
#ifndef CLINUX_TRACE_H
#define CLINUX_TRACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Writes what /proc/self/fd shows for a descriptor, without a NUL; returns the length. Does not call
/// into the file system of the file.
long clinux_link_of_descriptor(int descriptor, uint8_t *text, size_t size);
/// Returns the size of a file in memory and stores its inode number. Call it only where
/// clinux_is_memory_file returns 1: any other file may be on a file system that never answers.
int64_t clinux_memory_file_status(int descriptor, uint64_t *inode);

/// shutdown of one direction (SHUT_RD, SHUT_WR). After SHUT_RD what has arrived can still be received.
int clinux_shutdown_receiving(int socket);
int clinux_shutdown_sending(int socket);
/// 1 if the descriptor is a UNIX stream socket, otherwise 0.
int clinux_is_unix_stream(int descriptor);

/// CLOCK_REALTIME in nanoseconds.
uint64_t clinux_wall_time(void);

#ifdef __cplusplus
}
#endif
#endif

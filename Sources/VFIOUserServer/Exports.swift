// What the public API of this module mentions, so that a device needs no other import of ours. The two modules that are no
// products are re-exported by type: their other types are not for users.
@_exported import class LinuxPrimitives.EventFD
@_exported import class LinuxPrimitives.KeptDescriptor
@_exported import enum LinuxPrimitives.MemoryFiles
@_exported import struct LinuxPrimitives.OwnedDescriptor
@_exported import struct LinuxPrimitives.SystemCallError
@_exported import VFIOUserProtocol
@_exported import class VFIOUserTransport.ListeningSocket
@_exported import class VFIOUserTransport.MessageSocket
@_exported import enum VFIOUserTransport.StreamError

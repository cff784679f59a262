// What the public API of this module mentions: messages' values (RegionIndex, RegionAccess), sockets (ListeningSocket,
// MessageSocket), descriptors and system calls (EventFD, OwnedDescriptor, SystemCallError). Whoever imports the module
// sees these without another import, in the modules above too.
@_exported import LinuxPrimitives
@_exported import VFIOUserProtocol
@_exported import VFIOUserTransport

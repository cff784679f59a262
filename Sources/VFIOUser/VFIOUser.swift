// All that a device or a client needs, as one import: the modules of both ends with what they re-export (messages,
// sockets, descriptors), and the types of the system that appear in them (Errno, FilePath).
@_exported import SystemPackage
@_exported import VFIOUserClient
@_exported import VFIOUserServer

// The public API of this module mentions these (OwnedDescriptor, SystemCallError): whoever imports it sees them.
@_exported import LinuxPrimitives

// Sockets are made of descriptors: whoever uses them sees these.
@_exported import LinuxPrimitives

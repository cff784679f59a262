/// Checks of servers and clients that anyone wrote.
package enum Conformance {}

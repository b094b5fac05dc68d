// Package maven brings programs of the Java world to tests: a Java that is
// installed, and the class path of a pom.xml in this module, which Maven resolves
// and downloads. Nothing is built, and nothing of it is in the tree.
//
// A class path is remembered under the hash of its pom.xml in the cache directory
// of this machine (see localproc.CacheDir), so that only the first process waits for
// Maven, and others that come meanwhile wait for it.
package maven

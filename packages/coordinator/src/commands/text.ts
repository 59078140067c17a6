/** Breaks text into lines of at most `width` characters, where there are spaces; lines after the first begin with `indent`. */
export const wrap = (text: string, width: number, indent = ''): string[] => {
  const lines: string[] = [];
  const margin = /^ */.exec(text)![0];
  let line = margin;
  for (const word of text.slice(margin.length).split(' ')) {
    if (line.trim() !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent + word;
    } else line = line === margin ? margin + word : `${line} ${word}`;
  }
  return [...lines, line];
};
